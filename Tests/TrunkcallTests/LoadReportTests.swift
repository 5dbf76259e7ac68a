// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Logging
import Testing
import TrunkTesting
import TrunkWire

@testable import Trunkcall

@Suite("Load reports with calls (gRFC A51)", .timeLimit(.minutes(1)))
struct LoadReportTests {
  private let service = AdHocService(
    unary: [
      "Plain": { payload, _ in payload },
      "Report": { payload, call in
        var report = call.loadReport
        report.requestCost["rows"] = 7
        try call.setLoadReport(report)
        report.cpuUtilization = 0.25
        try call.setLoadReport(report)
        return payload
      },
      "Fail": { _, call in
        var report = LoadReport()
        report.requestCost["rows"] = 1
        try call.setLoadReport(report)
        throw RPCError(.notFound, "nothing", metadata: ["why": "because"])
      },
      "Wrong": { _, call in
        var report = LoadReport()
        report.memoryUtilization = 2
        try call.setLoadReport(report)
        return []
      },
      "Large": { payload, call in
        var report = LoadReport()
        for i in 0..<100 { report.namedMetrics["metric number \(i)"] = 1 }
        try call.setLoadReport(report)
        try call.addTrailingMetadata(["mine": "1"])
        return payload
      },
    ],
    streams: [
      "Stream": { requests, replies, call in
        for try await request in requests { try await replies.write(request) }
        var report = LoadReport()
        report.requestCost["messages"] = 2
        try call.setLoadReport(report)
      }
    ])
  private func method(_ name: String) -> MethodDescriptor<[UInt8], [UInt8]> {
    AdHocService.method(name)
  }
  private var reported: LoadReport {
    var report = LoadReport()
    report.cpuUtilization = 0.25
    report.requestCost = ["rows": 7]
    return report
  }

  private func report(_ invoker: any CallInvoker, _ name: String) async throws -> LoadReport? {
    LoadReport(trailers: try await invoker.unaryResponse(method(name), [1]).trailingMetadata)
  }

  @Test("a handler's report comes with its call's trailers, and no other call has one")
  func ofHandler() async throws {
    try await withServer([service]) { _, port in
      try await withChannel(to: "ipv4:127.0.0.1:\(port)") { channel in
        #expect(try await report(channel, "Report") == reported)
        let plain = try await channel.unaryResponse(method("Plain"), [1])
        #expect(plain.trailingMetadata.isEmpty)
        let stream = try await channel.bidirectional(method("Stream"))
        try await stream.requests.finish()
        for try await _ in stream.responses {}
        let trailers = await stream.responses.trailingMetadata
        #expect(LoadReport(trailers: trailers)?.requestCost == ["messages": 2])
      }
    }
  }

  @Test("a failed call has its report as well") func ofFailure() async throws {
    try await withServer([service]) { _, port in
      try await withChannel(to: "ipv4:127.0.0.1:\(port)") { channel in
        let error = await failure { _ = try await channel.unary(method("Fail"), [1]) }
        #expect(error?.code == .notFound && error?.metadata["why"] == "because")
        #expect(error.flatMap { LoadReport(trailers: $0.metadata) }?.requestCost == ["rows": 1])
      }
    }
  }

  @Test("calls within the process bring the same reports") func inProcess() async throws {
    let channel = InProcessChannel([service])
    #expect(try await report(channel, "Report") == reported)
    #expect(try await report(channel, "Plain") == nil)
    let error = await failure { _ = try await channel.unary(method("Fail"), [1]) }
    #expect(error.flatMap { LoadReport(trailers: $0.metadata) }?.requestCost == ["rows": 1])
  }

  @Test("with a recorder every call reports the server's load; a call's own values come first")
  func recorder() async throws {
    let recorder = LoadRecorder()
    var options = ServerOptions()
    options.loadRecorder = recorder
    try await withServer([service], options: options) { _, port in
      try await withChannel(to: "ipv4:127.0.0.1:\(port)") { channel in
        #expect(try await report(channel, "Plain") == nil, "nothing is recorded")
        try recorder.update {
          $0.cpuUtilization = 0.75
          $0.requestsPerSecond = 100
          $0.utilization = ["disk": 0.5]
        }
        #expect(try await report(channel, "Plain") == recorder.report)
        let both = try await report(channel, "Report")
        #expect(both == reported.over(recorder.report))
        #expect(both?.cpuUtilization == 0.25 && both?.requestsPerSecond == 100)
        try recorder.update { $0 = LoadReport() }
        #expect(try await report(channel, "Plain") == nil)
      }
    }
  }

  @Test("values that ORCA does not allow are refused, and change nothing") func refused()
    async throws
  {
    let error = await failure {
      _ = try await InProcessChannel([service]).unary(method("Wrong"), [1])
    }
    #expect(error?.code == .invalidArgument)
    #expect(error?.message == "memoryUtilization of a load report is 2.0; allowed: 0...1")
    let recorder = LoadRecorder()
    try recorder.update { $0.cpuUtilization = 0.5 }
    #expect(throws: RPCError.self) { try recorder.update { $0.cpuUtilization = -.infinity } }
    let cost = #expect(throws: RPCError.self) {
      try recorder.update { $0.requestCost = ["rows": 1] }
    }
    #expect(cost?.code == .invalidArgument)
    #expect(recorder.report.cpuUtilization == 0.5 && recorder.report.requestCost.isEmpty)
  }

  @Test("a report that the client's header list limit has no room for is left out and logged")
  func oversize() async throws {
    let log = LogLines(level: .info)
    try await withServer([service], logger: log.logger) { _, port in
      let peer = try await ScriptedPeer.connect(port: port, settings: [.maxHeaderListSize(1_000)])
      try await peer.call(1, "/t.AdHoc/Large", messages: [[1]])
      let response = try await peer.response(1)
      #expect(response.status == 0 && response.trailer("mine") == "1")
      #expect(response.trailer("endpoint-load-metrics-bin") == nil)
      try await peer.call(3, "/t.AdHoc/Report", messages: [[1]])
      #expect(try await peer.response(3).trailer("endpoint-load-metrics-bin") != nil)
      await peer.close()
    }
    let lines = log.entries.filter { $0.message == "a load report is not sent" }
    #expect(lines.map { $0.metadata["method"] } == ["/t.AdHoc/Large"])
  }
}
