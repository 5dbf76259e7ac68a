// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing

@testable import TrunkWire

@Suite("Load reports (gRFC A51)") struct LoadReportTests {
  private var full: LoadReport {
    var report = LoadReport()
    report.cpuUtilization = 0.5
    report.memoryUtilization = 0.25
    report.applicationUtilization = 1.5
    report.requestsPerSecond = 1_000.5
    report.errorsPerSecond = 2
    report.utilization = ["disk": 0.125, "": 0]
    report.requestCost = ["queries": 3, "rows": -1]
    report.namedMetrics = ["queue": 17]
    return report
  }

  @Test("a report's fields have ORCA's numbers and types") func fields() {
    var report = LoadReport()
    report.cpuUtilization = 0.5
    report.requestsPerSecond = 1
    report.applicationUtilization = 2
    report.utilization = ["d": 0.5]
    let half: [UInt8] = [0, 0, 0, 0, 0, 0, 0xe0, 0x3f]
    #expect(
      report.protobuf
        == [0x09] + half + [0x2a, 12, 0x0a, 1, 0x64, 0x11] + half
        + [0x31, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f] + [0x49, 0, 0, 0, 0, 0, 0, 0, 0x40])
    #expect(LoadReport().protobuf.isEmpty && LoadReport().metadata.isEmpty)
  }

  @Test("what is written is read, as a message and as trailing metadata") func roundTrip() {
    #expect(LoadReport(protobuf: full.protobuf) == full)
    var trailers: Metadata = ["other": "1"]
    trailers.append(contentsOf: full.metadata)
    #expect(trailers[binary: "endpoint-load-metrics-bin"].count == 1)
    #expect(LoadReport(trailers: trailers) == full)
    #expect(LoadReport(trailers: Metadata()) == nil)
    #expect(LoadReport(trailers: ["other": "1"]) == nil)
  }

  @Test("unknown fields of every wire type and the deprecated rps are skipped") func unknown() {
    let extra: [UInt8] =
      [0x18, 0x96, 0x01] + [0x80, 0x01, 7] + [0x8a, 0x01, 2, 1, 2] + [0x95, 0x01, 1, 2, 3, 4]
      + [0x91, 0x01, 1, 2, 3, 4, 5, 6, 7, 8]
    #expect(LoadReport(protobuf: extra + full.protobuf) == full)
    #expect(LoadReport(protobuf: extra) == LoadReport())
  }

  @Test(
    "malformed bytes are no report",
    arguments: [
      [0x09], [0x09, 1, 2, 3], [0x2a, 5, 1], [0x00], [0x0b, 0x0c], [0x0f],
      [0x2a, 3, 0x0a, 1, 0xff], [0x2a, 2, 0x0a, 9],
      [0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
      [0x2a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
    ] as [[UInt8]])
  func malformed(bytes: [UInt8]) { #expect(LoadReport(protobuf: bytes) == nil) }

  @Test("no bytes trap: cut, changed and random ones", arguments: 0..<200 as Range<UInt64>)
  func hostile(seed: UInt64) {
    var random = SeededGenerator(state: seed)
    let good = full.protobuf
    for _ in 0..<50 {
      var bytes = Array(good.prefix(Int.random(in: 0...good.count, using: &random)))
      for _ in 0..<Int.random(in: 0...4, using: &random) where !bytes.isEmpty {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(
          in: 0...255, using: &random)
      }
      if let report = LoadReport(protobuf: bytes) {
        _ = report.problem
        // NaN is not equal to itself.
        #expect(LoadReport(protobuf: report.protobuf)?.protobuf == report.protobuf)
      }
    }
  }

  @Test("a report with more than 1,000 entries or 64 KiB is not read, and not sent") func limits() {
    var report = LoadReport()
    for i in 0..<1_000 { report.namedMetrics["m\(i)"] = 1 }
    #expect(LoadReport(protobuf: report.protobuf) == report)
    #expect(report.problem == nil)
    report.requestCost["one"] = 1
    #expect(LoadReport(protobuf: report.protobuf) == nil)
    #expect(report.problem == "a load report has 1001 entries; allowed: 1000")
    var long = LoadReport()
    long.namedMetrics[String(repeating: "x", count: 64 << 10)] = 1
    #expect(LoadReport(protobuf: long.protobuf) == nil)
  }

  @Test("values that ORCA does not allow are named") func problems() {
    #expect(full.problem == nil)
    func problem(_ change: (inout LoadReport) -> Void) -> String? {
      var report = LoadReport()
      change(&report)
      return report.problem
    }
    #expect(
      problem { $0.cpuUtilization = -1 }
        == "cpuUtilization of a load report is -1.0; allowed: finite numbers of at least 0")
    #expect(problem { $0.cpuUtilization = 7 } == nil)
    #expect(
      problem { $0.memoryUtilization = 1.1 }
        == "memoryUtilization of a load report is 1.1; allowed: 0...1")
    #expect(problem { $0.utilization = ["x": 2] }?.contains("utilization[\"x\"]") == true)
    #expect(problem { $0.errorsPerSecond = .nan } != nil)
    #expect(problem { $0.requestCost = ["x": .infinity] } != nil)
    #expect(problem { $0.namedMetrics = ["x": -5] } == nil)
  }

  @Test("a call's values are sent instead of the server's") func merged() {
    var server = LoadReport()
    server.cpuUtilization = 0.9
    server.memoryUtilization = 0.1
    server.utilization = ["disk": 0.9, "gpu": 0.3]
    let merged = full.over(server)
    #expect(merged.cpuUtilization == 0.5 && merged.memoryUtilization == 0.25)
    #expect(merged.utilization == ["disk": 0.125, "": 0, "gpu": 0.3])
    #expect(LoadReport().over(server) == server)
  }
}
