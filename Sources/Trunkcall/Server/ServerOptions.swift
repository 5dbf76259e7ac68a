// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkHTTP2
internal import TrunkSockets
public import TrunkWire

/// Where a server listens.
public enum Listen: Sendable, Hashable {
  /// A host name or IP literal, and a port; port 0 takes a free one.
  case tcp(String, UInt16)
  /// A path; a stale socket file is replaced.
  case unix(String)
}

extension Listen: CustomStringConvertible {
  public var description: String { destination.description }

  var destination: Destination {
    switch self {
    case .tcp(let host, let port): .host(host, port)
    case .unix(let path): .unix(path)
    }
  }
}

/// Every limit of a server, with its default. docs/limits.md has the table of all limits.
public struct ServerOptions: Sendable {
  /// Event loops of its own; nil shares the process-wide group, one loop per core.
  public var loops: Int?
  /// How long a loop that has been busy polls before it blocks; 20 to 50 µs cut the latency of one
  /// caller where waking a CPU takes long, at the cost of up to as much CPU time per pause. Only
  /// with ``loops`` of its own: shared ones never poll. Default: not at all.
  public var busyPoll: Duration = .zero
  /// Bytes of freed memory that the process keeps at each heap's end for the next large message,
  /// where glibc would return them to the system at once: half and more of the processor time of an
  /// echo of 1 MiB. Process-wide, set by the first server that starts or channel that is made, and
  /// overridden by glibc's own environment variables. Default 16 MiB; nil leaves glibc as it is.
  /// After 1,000 connections of a loop have closed all of it is returned.
  public var freeMemoryKept: Int? = 16 << 20
  /// How long calls may go on after a graceful stop began. Default 10 s.
  public var drain: Duration = .seconds(10)
  /// Largest request message in bytes, compressed and decompressed. Default 4 MiB; beyond it
  /// RESOURCE_EXHAUSTED.
  public var maxReceiveMessageSize = 4 << 20
  /// Largest response message in bytes, after compression. Default: the largest that the prefix can
  /// express (2^32 - 1).
  public var maxSendMessageSize = Int(UInt32.max)
  /// How responses are compressed unless the handler sets it
  /// (``ServerCall/compressResponses(with:)``), if the client accepts it. Default: not at all
  /// (compression.md).
  public var compression = Compression.identity
  /// The algorithms that requests may be compressed with; any other is UNIMPLEMENTED. Default: all;
  /// the receive limit holds for the decompressed size.
  public var acceptedCompression = CompressionSet.all
  /// Request header list in bytes, HTTP/2 counting. Default 16 KiB; beyond it RESOURCE_EXHAUSTED.
  public var maxHeaderListSize = 16 << 10
  /// Streams that a client may have open on one connection. Default 100.
  public var maxConcurrentStreams = 100
  /// Handlers that may run for one connection, those of cancelled calls included. Default twice
  /// `maxConcurrentStreams`; beyond it calls wait. [CVE-2023-44487]
  public var maxHandlersPerConnection: Int?
  /// Handlers that may run in the whole server; each event loop has an equal share. Default
  /// 100,000; beyond it RESOURCE_EXHAUSTED.
  public var maxHandlers = 100_000
  /// Calls of one connection that may wait for their handlers' start. Default 100; beyond it
  /// RESOURCE_EXHAUSTED.
  public var maxWaitingCalls = 100
  /// Bytes of requests that may wait with them. Default 32 MiB; beyond it RESOURCE_EXHAUSTED.
  public var maxWaitingBytes = 32 << 20
  /// Bytes of responses that one client may leave unread before no more handlers are started for
  /// it. Default 16 MiB. Running handlers continue: their responses are added to it.
  /// [CVE-2019-9511, 9517]
  public var maxUnsentBytes = 16 << 20
  /// Flow-control window of a stream in bytes. Default 1 MiB.
  public var streamWindow = 1 << 20
  /// Flow-control window of a connection in bytes; also the most that may lie unread in it. Default
  /// 4 MiB.
  public var connectionWindow = 4 << 20
  /// Connections that may be open. Default 10,000; further ones wait to be accepted, see
  /// ``acceptTimeout``.
  public var maxConnections = 10_000
  /// Connections that may be in their handshakes (TLS, then HTTP/2's SETTINGS) at once. Default
  /// 1,000; further connections wait to be accepted, see ``acceptTimeout``.
  public var maxHandshakes = 1_000
  /// While ``maxConnections`` or ``maxHandshakes`` is reached nothing is accepted: clients wait in
  /// the kernel's backlog. When that has lasted for this long, the waiting ones are closed. Default
  /// 5 s.
  public var acceptTimeout: Duration = .seconds(5)
  /// From accept until the client's SETTINGS. Default 20 s.
  public var handshakeTimeout: Duration = .seconds(20)
  /// From then until the client has acknowledged the server's SETTINGS (RFC 9113 §6.5.3). Default
  /// 20 s.
  public var settingsTimeout: Duration = .seconds(20)
  /// From the begin of a header block to its end. Default 10 s.
  public var headerTimeout: Duration = .seconds(10)
  /// The connection of a client that reads none of the bytes waiting for it during this time is
  /// closed. Default 30 s.
  public var sendTimeout: Duration = .seconds(30)
  /// Frames other than DATA that may wait for a client that does not read; beyond it nothing is
  /// read from that client. Default 1,000 (Envoy's). [CVE-2019-9514, 9515]
  public var maxOutboundFrames = 1_000
  /// Limits of frames that cost a client next to nothing.
  public var abuse = AbuseLimits()
  /// On a connection on which nothing was received for this long, a keepalive PING is sent (gRFC
  /// A8). Default 2 h; nil: none.
  public var keepaliveTime: Duration? = .seconds(2 * 60 * 60)
  /// If nothing is received for this long after that PING, the connection is closed. Default 20 s.
  public var keepaliveTimeout: Duration = .seconds(20)
  /// Between two PINGs of a client (gRFC A8); the third that comes too early is answered with
  /// GOAWAY ENHANCE_YOUR_CALM, "too_many_pings". Default 5 min.
  public var minPingInterval: Duration = .seconds(5 * 60)
  /// Whether clients may send PINGs while they have no call. Default false: one in 2 h.
  public var permitsPingsWithoutCalls = false
  /// A connection without calls for this long is closed by GOAWAY (gRFC A9). Default nil: never.
  public var maxConnectionIdle: Duration?
  /// A connection of this age, ±10 %, is closed: GOAWAY, calls under way go on (gRFC A9). Default
  /// nil: never.
  public var maxConnectionAge: Duration?
  /// How long calls may go on after that (gRFC A9). Default nil: without limit.
  public var maxConnectionAgeGrace: Duration?
  /// TCP keepalive after this idle time; nil turns it off. Default 60 s.
  public var tcpKeepAlive: Duration? = .seconds(60)
  /// `TCP_USER_TIMEOUT` (gRFC A18). Default 20 s.
  public var tcpUserTimeout: Duration? = .seconds(20)
  /// The server's load as the application measures it: reported with the trailers of every call
  /// (gRFC A51). Default nil: with those calls only whose handlers report
  /// (``ServerCall/setLoadReport(_:)``).
  public var loadRecorder: LoadRecorder?
  /// Where handlers run. Default `.automatic`.
  public var dispatch: HandlerDispatch = .automatic
  /// By path (`/package.Service/Method`); wins over `dispatch`.
  public var dispatchByMethod: [String: HandlerDispatch] = [:]

  /// All defaults.
  public init() {}

  var http2: HTTP2Settings {
    var settings = HTTP2Settings()
    settings.maxConcurrentStreams = UInt32(clamping: max(1, maxConcurrentStreams))
    settings.initialWindowSize = Int32(clamping: max(65_535, streamWindow))
    settings.connectionWindowSize = Int32(clamping: max(65_535, connectionWindow))
    settings.maxBufferedBytes = max(65_535, connectionWindow)
    settings.maxHeaderListSize = max(1_024, maxHeaderListSize)
    return settings
  }

  var keepalive: Keepalive.Settings? {
    keepaliveTime.map {
      Keepalive.Settings(
        time: ServerOptions.nanoseconds($0), timeout: ServerOptions.nanoseconds(keepaliveTimeout),
        withoutCalls: true)
    }
  }

  var life: ConnectionLife.Settings {
    ConnectionLife.Settings(
      maxIdle: maxConnectionIdle.map(ServerOptions.nanoseconds),
      maxAge: maxConnectionAge.map(ServerOptions.nanoseconds),
      grace: maxConnectionAgeGrace.map(ServerOptions.nanoseconds))
  }

  var abuseBudget: AbuseBudget {
    AbuseBudget(
      abuse.budget,
      pings: PingPolicy(
        interval: ServerOptions.nanoseconds(minPingInterval),
        permitsWithoutCalls: permitsPingsWithoutCalls))
  }

  private static func nanoseconds(_ duration: Duration) -> UInt64 {
    UInt64(max(0, duration.nanoseconds))
  }

  var socket: SocketOptions {
    var options = SocketOptions()
    options.keepAliveIdle = tcpKeepAlive
    options.userTimeout = tcpUserTimeout
    return options
  }

  var handlerLimit: Int { maxHandlersPerConnection ?? maxConcurrentStreams * 2 }
}
