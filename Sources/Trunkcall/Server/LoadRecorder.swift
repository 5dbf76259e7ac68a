// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import TrunkHTTP2
internal import TrunkSockets
public import TrunkWire

/// The load of a server as the application measures it (gRFC A51): sent with the trailers of its
/// calls (``ServerOptions/loadRecorder``), and out of band (`LoadReportService`).
///
/// ```swift
/// let load = LoadRecorder()
/// // Every second, from a task of the application:
/// try load.update {
///   $0.cpuUtilization = 0.4
///   $0.requestsPerSecond = 1_250
/// }
/// ```
/// Values stay until they are changed. Any thread may read and change them.
public final class LoadRecorder: Sendable {
  private struct State {
    var report = LoadReport()
    /// Of `report`, so that a call without a report of its own costs no encoding.
    var metadata = Metadata()
  }
  private let state = Locked(State())

  /// Nothing recorded: nothing is sent.
  public init() {}

  /// As recorded last.
  public var report: LoadReport { state.withLock { $0.report } }

  /// Changes what is recorded.
  /// - Throws: INVALID_ARGUMENT, and nothing is changed, for a value that is negative or not finite,
  ///   a `memoryUtilization` or `utilization` over 1, more than ``LoadReport/maxEntries``, and a
  ///   `requestCost`, which is a call's.
  public func update(_ body: (inout LoadReport) -> Void) throws(RPCError) {
    try state.withLock { state throws(RPCError) in
      var report = state.report
      body(&report)
      if let problem = report.problem { throw RPCError(.invalidArgument, problem) }
      guard report.requestCost.isEmpty else {
        throw RPCError(
          .invalidArgument, "requestCost of a server's load report; allowed: in a call's report")
      }
      state.report = report
      state.metadata = report.metadata
    }
  }

  /// The trailing metadata of a call.
  /// - Parameter own: the call's report; empty if it has none.
  func metadata(with own: LoadReport?) -> Metadata {
    guard let own else { return state.withLock { $0.metadata } }
    return own.over(report).metadata
  }
}

extension ServerStream {
  var loadReport: LoadReport {
    responseMarks.contains(.load) ? withResponse { $0.load } : LoadReport()
  }

  func setLoadReport(_ report: LoadReport) {
    withResponse { $0.load = report }
    mark(.load)
  }

  /// Of the call, and of the server for what the call has not.
  @inline(never)
  func addLoadReport(to trailing: inout Metadata) {
    let own = responseMarks.contains(.load) ? loadReport : nil
    let load =
      connection.server.options.loadRecorder.map { $0.metadata(with: own) } ?? own?.metadata
    guard let load, !load.isEmpty else { return }
    let limit = connection.session.peerHeaderListLimit
    if let oversize = load.oversize(beside: trailing)
      ?? load.oversize(for: limit, beside: trailing)
    {
      connection.server.logger.warning(
        "a load report is not sent",
        metadata: ["method": "\(methodName)", "peer": "\(peer)", "reason": "\(oversize.message)"])
      return
    }
    trailing.append(contentsOf: load)
  }
}
