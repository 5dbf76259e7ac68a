// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import SwiftProtobuf
import Testing
import Trunkcall

@testable import TrunkServices

@Suite("Load report service (gRFC A51)", .timeLimit(.minutes(1)))
struct LoadReportServiceTests {
  private func request(
    _ seconds: Int64, _ nanos: Int32 = 0
  ) -> Xds_Service_Orca_V3_OrcaLoadReportRequest {
    .with {
      $0.reportInterval = .with {
        $0.seconds = seconds
        $0.nanos = nanos
      }
    }
  }

  @Test("the minimum interval is 30 s unless set; a client's interval is raised to it")
  func interval() {
    let service = LoadReportService(LoadRecorder())
    #expect(service.interval(of: .init()) == .seconds(30))
    #expect(service.interval(of: request(0)) == .seconds(30))
    #expect(service.interval(of: request(1)) == .seconds(30))
    #expect(service.interval(of: request(-5)) == .seconds(30))
    #expect(service.interval(of: request(31, 500_000_000)) == .seconds(31.5))
    #expect(service.interval(of: request(.max, .max)) == .seconds(86_400))
    #expect(service.interval(of: request(.min, .min)) == .seconds(30))
    let quick = LoadReportService(LoadRecorder(), minimumInterval: .seconds(1))
    #expect(quick.interval(of: request(0, 5)) == .seconds(1))
    #expect(quick.interval(of: request(2)) == .seconds(2))
    let none = LoadReportService(LoadRecorder(), minimumInterval: .zero)
    #expect(none.interval(of: .init()) == .milliseconds(10))
  }

  private func withService(
    _ recorder: LoadRecorder, minimumInterval: Duration = .milliseconds(10),
    _ body: (GRPCServer, UInt16) async throws -> Void
  ) async throws {
    let server = GRPCServer(
      on: .tcp("127.0.0.1", 0),
      services: [LoadReportService(recorder, minimumInterval: minimumInterval)])
    async let running: Void = server.run()
    guard case .host(_, let port)? = try await server.listeningAddresses().first else { return }
    do { try await body(server, port) } catch {
      server.shutDown()
      throw error
    }
    server.shutDown()
    try await running
  }

  @Test("a report comes at once and then every interval, with what is recorded then")
  func reports() async throws {
    let recorder = LoadRecorder()
    try recorder.update {
      $0.cpuUtilization = 0.5
      $0.memoryUtilization = 0.25
      $0.applicationUtilization = 0.75
      $0.requestsPerSecond = 100
      $0.errorsPerSecond = 1
      $0.utilization = ["disk": 0.1]
      $0.namedMetrics = ["queue": 3]
    }
    try await withService(recorder) { _, port in
      try await withChannel(to: "ipv4:127.0.0.1:\(port)") { channel in
        let client = Xds_Service_Orca_V3_OpenRcaService.Client(channel)
        let reports = try await client.streamCoreMetrics(.init())
        for try await report in reports {
          #expect(report.cpuUtilization == 0.5 && report.memUtilization == 0.25)
          #expect(report.applicationUtilization == 0.75 && report.rpsFractional == 100)
          #expect(report.eps == 1 && report.utilization == ["disk": 0.1])
          #expect(report.namedMetrics == ["queue": 3] && report.requestCost.isEmpty)
          break
        }
        #expect(try await reports.next()?.cpuUtilization == 0.5)
        try recorder.update { $0.cpuUtilization = 0.75 }
        var last = 0.5
        while last == 0.5, let report = try await reports.next() { last = report.cpuUtilization }
        #expect(last == 0.75)
      }
    }
  }

  @Test("streams end when the server's stop begins, whatever their interval") func stop()
    async throws
  {
    try await withService(LoadRecorder(), minimumInterval: .seconds(600)) { server, port in
      let channel = try GRPCChannel(to: "ipv4:127.0.0.1:\(port)")
      let client = Xds_Service_Orca_V3_OpenRcaService.Client(channel)
      let reports = try await client.streamCoreMetrics(.init())
      _ = try await reports.next()
      server.shutDown()
      let error = await #expect(throws: RPCError.self) { _ = try await reports.next() }
      #expect(error?.code == .unavailable && error?.message == "the server is shutting down")
      await channel.close()
    }
  }

  /// Answers with its name.
  private struct Named: RPCService {
    static let method = MethodDescriptor<[UInt8], [UInt8]>(
      service: "t.Named", method: "Name", request: .bytes, response: .bytes)
    let name: UInt8
    func register(in table: inout MethodTable) {
      table.unary(Named.method) { _, _ in [name] }
    }
  }

  @Test(
    "weighted_round_robin follows the servers' reports, with calls and out of band",
    arguments: [false, true])
  func balanced(outOfBand: Bool) async throws {
    var servers: [GRPCServer] = []
    for (name, cpu) in [(1, 0.2), (2, 0.6)] as [(UInt8, Double)] {
      let recorder = LoadRecorder()
      try recorder.update {
        $0.cpuUtilization = cpu
        $0.requestsPerSecond = 100
      }
      var options = ServerOptions()
      if !outOfBand { options.loadRecorder = recorder }
      servers.append(
        GRPCServer(
          on: .tcp("127.0.0.1", 0),
          services: [
            Named(name: name), LoadReportService(recorder, minimumInterval: .milliseconds(10)),
          ], options: options))
    }
    let running = servers.map { server in Task { try await server.run() } }
    var ports: [String] = []
    for server in servers {
      guard case .host(_, let port)? = try await server.listeningAddresses().first else { continue }
      ports.append("127.0.0.1:\(port)")
    }
    var options = ChannelOptions()
    options.defaultServiceConfig = try ServiceConfig(
      json: """
        {"loadBalancingConfig": [{"weighted_round_robin": {
          "enableOobLoadReport": \(outOfBand), "oobReportingPeriod": "0.01s",
          "blackoutPeriod": "0s", "weightUpdatePeriod": "0.1s"}}]}
        """)
    try await withChannel(to: "ipv4:\(ports.joined(separator: ","))", options: options) { channel in
      var first = 0
      for _ in 0..<200 {
        first = 0
        for _ in 0..<80 where try await channel.unary(Named.method, []) == [1] { first += 1 }
        if (58...62).contains(first) { break }
        try await Task.sleep(for: .milliseconds(20))
      }
      // 500 to 167.
      #expect((58...62).contains(first), "\(first) of 80")
    }
    for server in servers { server.shutDown() }
    for run in running { try await run.value }
  }
}
