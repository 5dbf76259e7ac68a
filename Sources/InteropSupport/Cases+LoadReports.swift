// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import InteropStubs
internal import SwiftProtobuf
internal import Trunkcall

extension Caller {
  func orcaPerRPC() async throws {
    let report = Caller.report(cpu: 0.8210, memory: 0.5847, cost: 3456.32, utilization: 0.30499)
    let response = try await service.unaryCallResponse(.with { $0.orcaPerQueryReport = report })
    let expected = LoadReport(report)
    try await wait(
      "the policy has no load report like \(expected)",
      until: { BackendMetricsPolicy.reports(of: response.peer).perCall == expected })
  }

  func orcaOutOfBand() async throws {
    let call = try await service.fullDuplexCall()
    for report in [
      Caller.report(cpu: 0.8210, memory: 0.5847, utilization: 0.30499),
      Caller.report(cpu: 0.29309, memory: 0.2, utilization: 0.2039),
    ] {
      try await call.requests.write(
        .with {
          $0.orcaOobReport = report
          $0.responseParameters = [.with { $0.size = 1 }]
        })
      try await Caller.take(call.responses, 1, 1)
      let peer = await call.responses.peer ?? ""
      let expected = LoadReport(report)
      try await wait(
        "the policy has no load report out of band like \(expected)",
        until: { BackendMetricsPolicy.reports(of: peer).outOfBand == expected })
    }
    try await call.requests.finish()
    try await Caller.end(call.responses)
  }

  /// Up to ten seconds.
  private func wait(_ otherwise: String, until condition: () -> Bool) async throws {
    let end = ContinuousClock.now + .seconds(10)
    while !condition() {
      try InteropSupport.check(ContinuousClock.now < end, otherwise)
      try await Task.sleep(for: .milliseconds(5))
    }
  }

  private static func report(
    cpu: Double, memory: Double, cost: Double? = nil, utilization: Double
  ) -> Grpc_Testing_TestOrcaReport {
    .with {
      $0.cpuUtilization = cpu
      $0.memoryUtilization = memory
      if let cost { $0.requestCost = ["cost": cost] }
      $0.utilization = ["util": utilization]
    }
  }
}

extension LoadReport {
  init(_ report: Grpc_Testing_TestOrcaReport) {
    self.init()
    cpuUtilization = report.cpuUtilization
    memoryUtilization = report.memoryUtilization
    requestCost = report.requestCost
    utilization = report.utilization
  }
}
