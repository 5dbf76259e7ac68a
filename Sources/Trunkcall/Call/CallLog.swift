// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import TrunkWire

/// The log lines of calls, connections and subchannels: errors of handlers at error level, ends at
/// debug level.
///
/// Whether ends are logged is decided once, when the server or channel is made: with debug level
/// disabled a call costs one comparison.
struct CallLog: Sendable {
  let logger: Logger
  let logsEnds: Bool

  init(_ logger: Logger) {
    self.logger = logger
    logsEnds = logger.logLevel <= .debug
  }

  /// A handler threw. The client gets UNKNOWN without details for an error that is no status, so it
  /// is logged here. The CancellationError of a cancelled handler is not.
  @inline(never)
  func handlerThrew(_ error: any Error, method: String, peer: String) {
    if error is RPCError { return }
    if error is CancellationError, Task.isCancelled { return }
    logger.error(
      "a handler threw an error that is no status",
      metadata: [
        "method": "\(method)", "peer": "\(peer)", "error": "\(type(of: error)): \(error)",
      ])
  }

  @inline(never)
  func callEnded(method: String, peer: String?, _ error: RPCError?) {
    var metadata: Logger.Metadata = [
      "method": "\(method)", "status": "\(error.map { "\($0.code)" } ?? "ok")",
      "peer": "\(peer ?? "none")",
    ]
    if let error, !error.message.isEmpty { metadata["message"] = "\(error.message)" }
    logger.debug("a call ended", metadata: metadata)
  }

  @inline(never)
  func subchannelChanged(_ endpoint: String, _ state: String, _ error: String?) {
    var metadata: Logger.Metadata = ["endpoint": "\(endpoint)", "state": "\(state)"]
    if let error { metadata["reason"] = "\(error)" }
    logger.debug("a subchannel changed its state", metadata: metadata)
  }

  @inline(never)
  func connectionEnded(peer: String, _ reason: String) {
    logger.debug("a connection ended", metadata: ["peer": "\(peer)", "reason": "\(reason)"])
  }
}
