// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import TrunkDiscovery
internal import TrunkHTTP2
package import TrunkSockets
public import TrunkWire

/// Every limit and choice of a channel, with its default. docs/limits.md has the table of all
/// limits.
public struct ChannelOptions: Sendable {
  // Names

  /// The `:authority` of every call; nil: the endpoint's server name, else the resolver's authority
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
  /// Largest request message in bytes, after compression. Default: the largest that the prefix can
  /// express (2^32 - 1).
  public var maxSendMessageSize = Int(UInt32.max)
  /// Response header list in bytes, HTTP/2 counting (RFC 9113 §10.5.1). Default 16 KiB; beyond it
  /// the call ends with RESOURCE_EXHAUSTED.
  public var maxHeaderListSize = 16 << 10
  /// Request bytes of one call that are kept until the response headers come, for a retry. Default
  /// 256 KiB; a call that has sent more is not retried.
  public var maxRetryBufferSize = 256 << 10
  /// The same of all calls with a retry policy together. Default 16 MiB; a call that does not fit is
  /// sent, and not retried by its policy.
  public var maxRetryBufferTotal = 16 << 20
  /// The most attempts of a call, whatever its retry policy allows (gRFC A6). Default 5.
  public var maxRetryAttempts = 5
  /// The most entries of a ring of `ring_hash_experimental`, whatever its config allows (gRFC A42), up
  /// to 8,388,608; each takes 12 bytes. Default 4,096.
  public var maxRingSize = 4096
  /// The most connections that a service config's `connectionScaling` gets for a server whose streams
  /// are all taken (gRFC A105). Default 10; those of ``connectionsPerEndpoint`` are beside them.
  public var maxConnectionsPerSubchannel = 10
  /// Whether `retryPolicy` of the service config is followed. Transparent retries, of calls that no
  /// server has seen, are made in any case. Default true.
  public var followsRetryPolicies = true

  // Compression (compression.md)

  /// How requests are compressed unless the call sets it (``CallOptions/compression``). Default:
  /// not at all.
  public var compression = Compression.identity
  /// The algorithms that responses may be compressed with, sent to servers as
  /// `grpc-accept-encoding`; any other is INTERNAL. Default: all; the receive limit holds for the
  /// decompressed size. Empty: the header is not sent.
  public var acceptedCompression = CompressionSet.all

  // Calls

  /// Calls that may wait for a server, and as many per connection for a stream (per server, where it may
  /// have several: gRFC A105), where the server's MAX_CONCURRENT_STREAMS is reached. Default 10,000; beyond it RESOURCE_EXHAUSTED.
  public var maxQueuedCalls = 10_000
  /// The connection of a server that reads none of the bytes waiting for it during this time is
  /// closed; its calls fail with UNAVAILABLE. Default 30 s.
  public var sendTimeout: Duration = .seconds(30)
  /// For how long calls under way may go on after ``GRPCChannel/close()``. Default 10 s; then
  /// CANCELLED.
  public var closeDeadline: Duration = .seconds(10)

  /// Called for metadata before every call. Default none.
  public var credentials: [any CallCredentials] = []

  // Service config (gRFC A2, A6, A24)

  /// In force when the resolver gives none. Default nil: gRPC's defaults.
  public var defaultServiceConfig: ServiceConfig?
  /// Ignores service configs from the resolver. Default false.
  public var disablesServiceConfig = false
  /// Ignores `healthCheckConfig` of the service config: servers are not asked for their health (gRFC
  /// A17). Default false.
  public var disablesHealthChecks = false

  // Connections

  /// The time between attempts to connect to a server that cannot be reached.
  public var backoff = ConnectionBackoff()
  /// From the start of an attempt until the server's SETTINGS. nil: the time until the next
  /// attempt, at least 20 s (connection-backoff.md).
  public var connectTimeout: Duration?
  /// A host name in an address is looked up for at most this long. Default 5 s.
  public var lookUpTimeout: Duration = .seconds(5)
  /// Least time between two resolutions that the channel asks its resolver for. Default 30 s, as in
  /// grpc-go.
  public var minResolutionInterval: Duration = .seconds(30)
  /// Without a call for this long a channel closes its connections and stops its resolver. Default
  /// 30 min; nil: never.
  public var idleTimeout: Duration? = .seconds(30 * 60)
  /// When a call expires on a connection on which nothing was received since the call began, one
  /// PING is sent; if nothing is received for this long after it, the connection is closed. Default
  /// 1 s; nil: no such PING.
  public var livenessTimeout: Duration? = .seconds(1)
  /// A connection with calls is closed when the server's host has acknowledged nothing of what was sent
  /// for this long, or for eight round trips: the host or the network is gone, while a server that is
  /// only slow or stopped has a kernel that acknowledges (RFC 9293 §3.8). Looked at every 100 ms. Default
  /// 700 ms; nil: `tcpUserTimeout` alone.
  public var acknowledgementTimeout: Duration? = .milliseconds(700)
  /// On a connection with calls on which nothing was received for this long, a keepalive PING is
  /// sent (gRFC A8). Default nil: none; less than 10 s counts as 10 s. A GOAWAY "too_many_pings"
  /// makes the channel double it.
  public var keepaliveTime: Duration?
  /// If nothing is received for this long after that PING, the connection is closed; its calls fail
  /// with UNAVAILABLE. Default 20 s.
  public var keepaliveTimeout: Duration = .seconds(20)
  /// Whether keepalive PINGs are sent on connections without calls. Default false; most servers
  /// allow one PING in two hours then (gRFC A8).
  public var keepaliveWithoutCalls = false
  /// Flow-control window of a stream in bytes. Default 1 MiB.
  public var streamWindow = 1 << 20
  /// Flow-control window of a connection in bytes; also the most that may lie unread in it. Default
  /// 4 MiB.
  public var connectionWindow = 4 << 20
  /// TCP keepalive after this idle time; nil turns it off. Default 60 s.
  public var tcpKeepAlive: Duration? = .seconds(60)
  /// `TCP_USER_TIMEOUT` (gRFC A18). Default 20 s.
  public var tcpUserTimeout: Duration? = .seconds(20)
  /// Bytes of freed memory that the process keeps at each heap's end for the next large message,
  /// where glibc would return them to the system at once: a third of the processor time of a stream
  /// of 64 KiB messages. Process-wide, set by the first channel that is made or server that starts,
  /// and overridden by glibc's own environment variables. Default 16 MiB; nil leaves glibc as it
  /// is. A channel that becomes idle returns all of it.
  public var freeMemoryKept: Int? = 16 << 20
  /// How many connections an endpoint may have. Default `.automatic`.
  public var connectionsPerEndpoint = ConnectionsPerEndpoint.automatic
  /// Event loops of its own; nil shares the process-wide group, one loop per core.
  public var loops: Int?
  /// How long a loop that has been busy polls before it blocks; 20 to 50 µs cut the latency of one
  /// caller where waking a CPU takes long, at the cost of up to as much CPU time per pause. Only
  /// with ``loops`` of its own: shared ones never poll. Default: not at all.
  public var busyPoll: Duration = .zero

  /// A group that is owned elsewhere; used by tests.
  package var group: EventLoopGroup?
  /// gRFC A8's least ``keepaliveTime``; tests set less.
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
  /// One. Calls from other loops are handed to the connection's loop and back.
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
