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
  /// How long calls may go on after a graceful stop began. Default 10 s.
  public var drain: Duration = .seconds(10)
  /// Largest request message in bytes, compressed and decompressed. Default 4 MiB; beyond it RESOURCE_EXHAUSTED.
  public var maxReceiveMessageSize = 4 << 20
  /// Largest reply message in bytes, after compression. Default: what the format can say (2^32 - 1).
  public var maxSendMessageSize = Int(UInt32.max)
  /// How replies are compressed where the handler does not say (``ServerCall/compressReplies(with:)``)
  /// and the client accepts it. Default: not at all (gRPC compression.md).
  public var compression = Compression.identity
  /// What requests may be compressed with; anything else is UNIMPLEMENTED. Default: all; the receive
  /// limit holds for the decompressed size.
  public var acceptedCompression = CompressionSet.all
  /// Request header list in bytes, HTTP/2 counting. Default 16 KiB; beyond it RESOURCE_EXHAUSTED.
  public var maxHeaderListSize = 16 << 10
  /// Streams that a client may have open on one connection. Default 100.
  public var maxConcurrentStreams = 100
  /// Handlers that may run for one connection, those of cancelled calls included. Default twice
  /// `maxConcurrentStreams`; beyond it RESOURCE_EXHAUSTED. [CVE-2023-44487]
  public var maxHandlersPerConnection: Int?
  /// Flow-control window of a stream in bytes. Default 1 MiB.
  public var streamWindow = 1 << 20
  /// Flow-control window of a connection in bytes; also what may lie unread in it. Default 4 MiB.
  public var connectionWindow = 4 << 20
  /// From accept until the client's SETTINGS. Default 20 s.
  public var handshakeTimeout: Duration = .seconds(20)
  /// TCP keepalive after this idle time; nil turns it off. Default 60 s.
  public var tcpKeepAlive: Duration? = .seconds(60)
  /// `TCP_USER_TIMEOUT` (gRFC A18). Default 20 s.
  public var tcpUserTimeout: Duration? = .seconds(20)
  /// Where handlers run. Default `.automatic`.
  public var dispatch: HandlerDispatch = .automatic
  /// By path (`/package.Service/Method`), before `dispatch`.
  public var dispatchByMethod: [String: HandlerDispatch] = [:]

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

  var socket: SocketOptions {
    var options = SocketOptions()
    options.keepAliveIdle = tcpKeepAlive
    options.userTimeout = tcpUserTimeout
    return options
  }

  var handlerLimit: Int { maxHandlersPerConnection ?? maxConcurrentStreams * 2 }
}
