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

/// Every limit of a server, with its default. The table in docs/limits.md holds them all.
public struct ServerOptions: Sendable {
  /// Event loops of its own; nil shares the process-wide group, one loop per core.
  public var loops: Int?
  /// How long a busy loop looks for work before it sleeps; 20 to 50 µs cut the latency of one
  /// caller where waking a CPU is dear, and burn up to as much CPU for each pause. Only with
  /// ``loops`` of its own: shared ones never spin. Default: not at all.
  public var spin: Duration = .zero
  /// Bytes of freed memory that the process keeps at each heap's end for the next large message,
  /// where glibc would give them back at once: half and more of the processor time of an echo of 1
  /// MiB. Process-wide, set by the first server that starts or channel that is made, and overridden
  /// by glibc's own environment variables. Default 16 MiB; nil leaves glibc as it is. After a crowd
  /// of connections has gone all of it is given back.
  public var freeMemoryKept: Int? = 16 << 20
  /// How long calls may go on after a graceful stop began. Default 10 s.
  public var drain: Duration = .seconds(10)
  /// Largest request message in bytes, compressed and decompressed. Default 4 MiB; beyond it
  /// RESOURCE_EXHAUSTED.
  public var maxReceiveMessageSize = 4 << 20
  /// Largest response message in bytes, after compression. Default: what the format can say (2^32 -
  /// 1).
  public var maxSendMessageSize = Int(UInt32.max)
  /// How responses are compressed where the handler does not say
  /// (``ServerCall/compressResponses(with:)``) and the client accepts it. Default: not at all (gRPC
  /// compression.md).
  public var compression = Compression.identity
  /// What requests may be compressed with; anything else is UNIMPLEMENTED. Default: all; the
  /// receive limit holds for the decompressed size.
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
  /// it. Default 16 MiB. Running handlers go on: what they respond comes on top. [CVE-2019-9511,
  /// 9517]
  public var maxUnsentBytes = 16 << 20
  /// Flow-control window of a stream in bytes. Default 1 MiB.
  public var streamWindow = 1 << 20
  /// Flow-control window of a connection in bytes; also what may lie unread in it. Default 4 MiB.
  public var connectionWindow = 4 << 20
  /// Connections that may be open. Default 10,000; further ones wait to be accepted, see
  /// ``acceptTimeout``.
  public var maxConnections = 10_000
  /// Connections that may be in their handshakes (TLS, then HTTP/2's SETTINGS) at once. Default
  /// 1,000; further connections wait to be accepted, see ``acceptTimeout``.
  public var maxHandshakes = 1_000
  /// While ``maxConnections`` or ``maxHandshakes`` is reached nothing is accepted: clients wait in
  /// the kernel's backlog. Those that lie there when that has lasted for so long are closed.
  /// Default 5 s.
  public var acceptTimeout: Duration = .seconds(5)
  /// From accept until the client's SETTINGS. Default 20 s.
  public var handshakeTimeout: Duration = .seconds(20)
  /// From then on until it has acknowledged the server's (RFC 9113 §6.5.3). Default 20 s.
  public var settingsTimeout: Duration = .seconds(20)
  /// From the begin of a header block to its end. Default 10 s.
  public var headerTimeout: Duration = .seconds(10)
  /// A client that takes none of the bytes waiting for it for this long is cut off. Default 30 s.
  public var sendTimeout: Duration = .seconds(30)
  /// Frames other than DATA that may wait for a client that does not read; then it is not read from
  /// either. Default 1,000 (Envoy's). [CVE-2019-9514, 9515]
  public var maxOutboundFrames = 1_000
  /// What a client may do that costs it next to nothing.
  public var abuse = AbuseLimits()
  /// Silence after which a client is asked with a PING whether it lives (gRFC A8). Default 2 h; nil
  /// never asks.
  public var keepaliveTime: Duration? = .seconds(2 * 60 * 60)
  /// Without a byte for this long after that PING the connection is given up. Default 20 s.
  public var keepaliveTimeout: Duration = .seconds(20)
  /// Between two PINGs of a client (gRFC A8); the third that comes too early is answered with
  /// GOAWAY ENHANCE_YOUR_CALM, "too_many_pings". Default 5 min.
  public var minPingInterval: Duration = .seconds(5 * 60)
  /// Whether clients may send PINGs while they have no call. Default false: one in 2 h.
  public var permitsPingsWithoutCalls = false
  /// A connection without calls for this long is let go of (gRFC A9). Default nil, never.
  public var maxConnectionIdle: Duration?
  /// A connection of this age, ±10 %, is let go of: GOAWAY, calls under way go on (gRFC A9).
  /// Default nil, never.
  public var maxConnectionAge: Duration?
  /// For how long they may go on. Default nil, without limit.
  public var maxConnectionAgeGrace: Duration?
  /// TCP keepalive after this idle time; nil turns it off. Default 60 s.
  public var tcpKeepAlive: Duration? = .seconds(60)
  /// `TCP_USER_TIMEOUT` (gRFC A18). Default 20 s.
  public var tcpUserTimeout: Duration? = .seconds(20)
  /// Where handlers run. Default `.automatic`.
  public var dispatch: HandlerDispatch = .automatic
  /// By path (`/package.Service/Method`), before `dispatch`.
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
