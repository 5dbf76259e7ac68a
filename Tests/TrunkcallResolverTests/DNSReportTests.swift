// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery

@testable import Trunkcall

@Suite("dns reports: addresses beside the service config") struct DNSReportTests {
  private static let one = DNSAnswer(
    endpoints: [Endpoint(Address("10.0.0.1", 1))], note: "one", timeToLive: 60)
  private static let two = DNSAnswer(
    endpoints: [Endpoint(Address("10.0.0.2", 1))], note: "two", timeToLive: 40)

  private func config(_ policy: String) throws -> ServiceConfig {
    try ServiceConfig(json: #"{"loadBalancingPolicy":"\#(policy)"}"#)
  }

  @Test("without the option addresses are reported at once")
  func off() {
    var report = DNSReport(usesConfig: false)
    #expect(
      report.found(DNSReportTests.one) == Resolution(DNSReportTests.one.endpoints, note: "one"))
    #expect(report.timeToLive == 60)
  }

  @Test("the first addresses wait for the config, and go without it after the delay")
  func late() throws {
    var report = DNSReport(usesConfig: true)
    #expect(report.found(DNSReportTests.one) == nil)
    let bare = report.configDelayPassed()
    #expect(bare?.serviceConfig == nil && bare?.endpoints == DNSReportTests.one.endpoints)
    #expect(bare?.note == "one, its service config is not known yet")
    #expect(report.configDelayPassed() == nil)
    let full = report.config(.config(try config("round_robin"), timeToLive: 10))
    #expect(full?.serviceConfig?.balancer == "round_robin" && full?.note == "one")
    #expect(report.timeToLive == 10)
  }

  @Test("a config that comes first waits for addresses; later addresses have the last known one")
  func early() throws {
    var report = DNSReport(usesConfig: true)
    #expect(report.config(.config(try config("round_robin"), timeToLive: nil)) == nil)
    #expect(report.found(DNSReportTests.one)?.serviceConfig?.balancer == "round_robin")
    #expect(report.found(DNSReportTests.two)?.serviceConfig?.balancer == "round_robin")
    // The same config again is no news, another one is.
    #expect(report.config(.config(try config("round_robin"), timeToLive: nil)) == nil)
    let changed = report.config(.config(try config("pick_first"), timeToLive: nil))
    #expect(changed?.serviceConfig?.balancer == "pick_first" && changed?.note == "two")
    #expect(report.config(.config(nil, timeToLive: nil))?.serviceConfig == nil)
  }

  @Test("a look-up of the config that fails keeps the known one, says so, and is made again soon")
  func failed() throws {
    var report = DNSReport(usesConfig: true)
    _ = report.config(.config(try config("round_robin"), timeToLive: 60))
    _ = report.found(DNSReportTests.one)
    let resolution = report.config(.failed("no answer"))
    #expect(resolution?.serviceConfig?.balancer == "round_robin")
    #expect(resolution?.note == "one, its service config is not known: no answer")
    #expect(report.timeToLive == 0)
  }

  @Test("a bad config is reported as such beside the addresses (gRFC A21)")
  func bad() {
    var report = DNSReport(usesConfig: true)
    let error = ServiceConfigError(path: "x", "bad")
    _ = report.found(DNSReportTests.one)
    let resolution = report.config(.bad(error, timeToLive: 5))
    #expect(resolution?.serviceConfigError == error)
    #expect(resolution?.endpoints == DNSReportTests.one.endpoints)
  }
}
