// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import TrunkDiscovery
internal import TrunkHTTP2
package import TrunkSockets
public import TrunkWire

/// Every limit and choice of a channel, with its default. The table in docs/limits.md holds them
/// all.
public struct ChannelOptions: Sendable {
  // Names

  /// The `:authority` of every call; nil: the endpoint's server name, else what the resolver makes
  /// of the target.
  public var authority: String?
  /// Goes before `grpc-swift-trunkcall/…` in the `user-agent`; nil sends the library's name alone.
  public var userAgentPrefix: String?
  /// The resolver for targets without a scheme. Default `dns` (naming.md).
  public var defaultScheme = "dns"

  // Messages

  /// Largest response message in bytes, compressed and decompressed. Default 4 MiB; beyond it
  /// RESOURCE_EXHAUSTED.
  public var maxReceiveMessageSize = 4 << 20
  /// Largest request message in bytes, after compression. Default: what the format can say
  /// (2^32 - 1).
  public var maxSendMessageSize = Int(UInt32.max)
  /// Response header list in bytes, HTTP/2 counting (RFC 9113 §10.5.1). Default 16 KiB; beyond it
  /// the call ends with RESOURCE_EXHAUSTED.
  public var maxHeaderListSize = 16 << 10
  /// Frames of one streaming call that are kept until the response headers come, for a transparent
  /// retry. Default 256 KiB; a call that has sent more is not retried.
  public var maxRetryBufferSize = 256 << 10

  // Compression (compression.md)

  /// How requests are compressed where the call does not say (``CallOptions/compression``).
  /// Default: not at all.
  public var compression = Compression.identity
  /// What responses may be compressed with, told to servers as `grpc-accept-encoding`; anything
  /// else is INTERNAL. Default: all; the receive limit holds for the decompressed size. Empty: the
  /// header is not sent.
  public var acceptedCompression = CompressionSet.all

  // Calls

  /// Calls that may wait for a server, and as many for a stream of each connection whose server
  /// takes no more at once. Default 10,000; beyond it RESOURCE_EXHAUSTED.
  public var maxQueuedCalls = 10_000
  /// A server that takes none of the bytes that wait for it for this long has its connection
  /// closed; its calls fail with UNAVAILABLE. Default 30 s.
  public var sendTimeout: Duration = .seconds(30)
  /// For how long calls under way may go on after ``GRPCChannel/close()``. Default 10 s; then
  /// CANCELLED.
  public var closeDeadline: Duration = .seconds(10)

  /// Asked for metadata before every call.
  public var credentials: [any CallCredentials] = []

  // Service config (gRFC A2, A6, A24)

  /// In force when the resolver brings none.
  public var defaultServiceConfig: ServiceConfig?
  /// Ignores service configs from the resolver. Default false.
  public var disablesServiceConfig = false

  // Connections

  /// How often a server is called that cannot be reached.
  public var backoff = ConnectionBackoff()
  /// From the start of an attempt until the server's SETTINGS. nil: the time until the next
  /// attempt, at least 20 s (connection-backoff.md).
  public var connectTimeout: Duration?
  /// A host name in an address is looked up for at most this long. Default 5 s.
  public var lookUpTimeout: Duration = .seconds(5)
  /// Between two look-ups that the channel asks its resolver for. Default 30 s, as in grpc-go.
  public var minResolutionInterval: Duration = .seconds(30)
  /// Without a call for this long a channel lets go of connections and resolver. Default 30 min;
  /// nil never does.
  public var idleTimeout: Duration? = .seconds(30 * 60)
  /// When a call expires on a connection from which nothing came since the call began, the server
  /// is asked with one PING; without any sign of life for this long the connection is given up.
  /// Default 1 s; nil never asks.
  public var livenessTimeout: Duration? = .seconds(1)
  /// Silence on a connection with calls after which its server is asked with a PING whether it
  /// lives (gRFC A8). Default nil, never; less than 10 s counts as 10 s. A server that finds it too
  /// often ("too_many_pings") makes the channel double it.
  public var keepaliveTime: Duration?
  /// Without a byte for this long after that PING the connection is given up; its calls fail with
  /// UNAVAILABLE. Default 20 s.
  public var keepaliveTimeout: Duration = .seconds(20)
  /// Whether connections without calls are asked as well. Default false; most servers allow one
  /// PING in two hours then.
  public var keepaliveWithoutCalls = false
  /// Flow-control window of a stream in bytes. Default 1 MiB.
  public var streamWindow = 1 << 20
  /// Flow-control window of a connection in bytes; also what may lie unread in it. Default 4 MiB.
  public var connectionWindow = 4 << 20
  /// TCP keepalive after this idle time; nil turns it off. Default 60 s.
  public var tcpKeepAlive: Duration? = .seconds(60)
  /// `TCP_USER_TIMEOUT` (gRFC A18). Default 20 s.
  public var tcpUserTimeout: Duration? = .seconds(20)
  /// Bytes of freed memory that the process keeps at each heap's end for the next large message,
  /// where glibc would give them back at once: a third of the processor time of a stream of 64 KiB
  /// messages. Process-wide, set by the first channel that is made or server that starts, and
  /// overridden by glibc's own environment variables. Default 16 MiB; nil leaves glibc as it is. A
  /// channel that becomes idle gives all of it back.
  public var freeMemoryKept: Int? = 16 << 20
  /// How many connections an endpoint may have. Default `.automatic`.
  public var connectionsPerEndpoint = ConnectionsPerEndpoint.automatic
  /// Event loops of its own; nil shares the process-wide group, one loop per core.
  public var loops: Int?
  /// How long a busy loop looks for work before it sleeps; 20 to 50 µs cut the latency of one
  /// caller where waking a CPU is dear, and burn up to as much CPU for each pause. Only with
  /// ``loops`` of its own: shared ones never spin. Default: not at all.
  public var spin: Duration = .zero

  /// A group that somebody else owns; tests use it.
  package var group: EventLoopGroup?
  /// A8's floor of ``keepaliveTime``; tests go below.
  package var keepaliveFloor: Duration = .seconds(10)

  /// All defaults.
  public init() {}

  var http2: HTTP2Settings {
    var settings = HTTP2Settings()
    settings.initialWindowSize = Int32(clamping: max(65_535, streamWindow))
    settings.connectionWindowSize = Int32(clamping: max(65_535, connectionWindow))
    settings.maxBufferedBytes = max(65_535, connectionWindow)
    settings.maxHeaderListSize = max(1_024, maxHeaderListSize)
    return settings
  }

  var keepalive: Keepalive.Settings? {
    keepaliveTime.map {
      Keepalive.Settings(
        time: UInt64(max(1, max($0, keepaliveFloor).nanoseconds)),
        timeout: UInt64(max(1, keepaliveTimeout.nanoseconds)),
        withoutCalls: keepaliveWithoutCalls)
    }
  }

  var socket: SocketOptions {
    var options = SocketOptions()
    options.keepAliveIdle = tcpKeepAlive
    options.userTimeout = tcpUserTimeout
    return options
  }
}

/// How many connections a channel makes to one endpoint.
public enum ConnectionsPerEndpoint: Sendable, Hashable {
  /// One; a further one on each event loop that calls are made from, as from a handler on the loops
  /// that server and channel share. Such a call stays on its loop. Not while endpoints times loops
  /// are more than 64.
  case automatic
  /// One. Calls from other loops than its own go there and back.
  case one
}

/// connection-backoff.md: from the start of one attempt to the start of the next. The
/// resolver is called again by the same rule when it fails.
public struct ConnectionBackoff: Sendable, Hashable {
  /// Default 1 s.
  public var initial: Duration = .seconds(1)
  /// Default 1.6.
  public var multiplier = 1.6
  /// Default 120 s.
  public var maximum: Duration = .seconds(120)
  /// Each delay is multiplied by a number of `1-jitter ... 1+jitter`. Default 0.2.
  public var jitter = 0.2

  /// 1 s, 1.6, 120 s, ±20 % (connection-backoff.md).
  public init() {}

  var value: Backoff {
    var backoff = Backoff()
    backoff.initial = initial
    backoff.multiplier = multiplier
    backoff.maximum = maximum
    backoff.jitter = jitter
    return backoff
  }
}
