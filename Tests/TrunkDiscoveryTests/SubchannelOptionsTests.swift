// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Synchronization
import Testing
import TrunkDiscovery
import TrunkWire

@Suite("What policies want of a subchannel") struct SubchannelOptionsTests {
  private final class Reports: CallObserver {
    let count = Atomic<Int>(0)
    func callBegan(at time: UInt64) {}
    func callEnded(_ outcome: CallOutcome) {}
    func loadReported(_ report: LoadReport, at time: UInt64) {
      count.wrappingAdd(1, ordering: .relaxed)
    }
  }

  @Test("of several wishes for load reports the smallest interval holds, and all get the reports")
  func intervals() {
    let inner = Reports()
    let outer = Reports()
    let plain = SubchannelOptions(observer: inner)
    #expect(plain.adding(outer).loadReportInterval == nil)
    #expect(plain.adding(outer, loadReportInterval: .seconds(3)).loadReportInterval == .seconds(3))
    let five = SubchannelOptions(observer: inner, loadReportInterval: .seconds(5))
    #expect(five.adding(outer).loadReportInterval == .seconds(5))
    #expect(five.adding(outer, loadReportInterval: .seconds(7)).loadReportInterval == .seconds(5))
    let both = five.adding(outer, loadReportInterval: .seconds(3))
    #expect(both.loadReportInterval == .seconds(3) && both != five.adding(outer))
    both.observer?.loadReported(LoadReport(), at: 1)
    #expect(inner.count.load(ordering: .relaxed) == 1 && outer.count.load(ordering: .relaxed) == 1)
  }

  @Test("a call's outcome has the report of its trailers") func outcome() {
    var report = LoadReport()
    report.cpuUtilization = 0.5
    let with = CallOutcome(code: nil, began: 0, ended: 0, trailingMetadata: report.metadata)
    #expect(with.loadReport == report)
    #expect(CallOutcome(code: nil, began: 0, ended: 0).loadReport == nil)
    let pick = PickOutcome(
      subchannel: one, token: 1, code: nil, latency: .zero, trailingMetadata: report.metadata)
    #expect(pick.loadReport == report)
  }
}
