// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import SwiftProtobuf
public import Trunkcall

/// `xds.service.orca.v3.OpenRcaService`: sends the server's load to clients that ask for it, out of
/// band of their calls (gRFC A51).
///
/// ```swift
/// let load = LoadRecorder()
/// let server = GRPCServer(
///   on: .tcp("0.0.0.0", 50051), services: [Greeter(), LoadReportService(load)])
/// ```
/// Every stream gets the recorder's report at once and then one each interval, changed or not. Streams
/// end when the server's stop begins.
public final class LoadReportService: Xds_Service_Orca_V3_OpenRcaService.Service {
  private let recorder: LoadRecorder
  private let minimumInterval: Duration

  /// The longest interval; a client that asks for a longer one gets its reports so often.
  static let maximumInterval: Duration = .seconds(86_400)

  /// - Parameters:
  ///   - recorder: what is reported; the same one as `ServerOptions.loadRecorder` if calls report
  ///     too.
  ///   - minimumInterval: between two reports of a stream, for clients that ask for less or for none.
  ///     Default 30 s (gRFC A51); less than 10 ms is 10 ms.
  public init(_ recorder: LoadRecorder, minimumInterval: Duration = .seconds(30)) {
    self.recorder = recorder
    self.minimumInterval = max(.milliseconds(10), minimumInterval)
  }

  /// Sends reports until the call ends or the server's stop begins.
  /// - Throws: UNAVAILABLE at the server's stop.
  public nonisolated(nonsending) func streamCoreMetrics(
    _ request: Xds_Service_Orca_V3_OrcaLoadReportRequest,
    _ replies: MessageWriter<Xds_Data_Orca_V3_OrcaLoadReport>, _ call: ServerCall
  ) async throws {
    let interval = interval(of: request)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { [recorder] in
        while true {
          try await replies.write(Xds_Data_Orca_V3_OrcaLoadReport(recorder.report))
          try await Task.sleep(for: interval)
        }
      }
      group.addTask {
        try await call.gracefulShutdown()
        throw RPCError(.unavailable, "the server is shutting down")
      }
      try await group.next()
    }
  }

  func interval(of request: Xds_Service_Orca_V3_OrcaLoadReportRequest) -> Duration {
    guard request.hasReportInterval else { return minimumInterval }
    let asked =
      Duration.seconds(request.reportInterval.seconds)
      + .nanoseconds(Int64(request.reportInterval.nanos))
    return min(max(asked, minimumInterval), max(minimumInterval, LoadReportService.maximumInterval))
  }
}

extension Xds_Data_Orca_V3_OrcaLoadReport {
  init(_ report: LoadReport) {
    self = .with {
      $0.cpuUtilization = report.cpuUtilization
      $0.memUtilization = report.memoryUtilization
      $0.applicationUtilization = report.applicationUtilization
      $0.rpsFractional = report.requestsPerSecond
      $0.eps = report.errorsPerSecond
      $0.utilization = report.utilization
      $0.namedMetrics = report.namedMetrics
    }
  }
}
