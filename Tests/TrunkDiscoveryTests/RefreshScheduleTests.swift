// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery

@Suite("When a resolver looks again") struct RefreshScheduleTests {
  private static let second: UInt64 = 1_000_000_000

  private func schedule(
    began at: UInt64 = 100, own: Duration? = nil
  ) -> RefreshSchedule {
    var schedule = RefreshSchedule(own: own, requests: .seconds(30))
    schedule.began(at: at * RefreshScheduleTests.second)
    return schedule
  }

  private func due(
    _ schedule: RefreshSchedule, since start: UInt64, age: Duration?
  ) -> UInt64? {
    schedule.due(waitingSince: start * RefreshScheduleTests.second, age: age)
      .map { $0 / RefreshScheduleTests.second }
  }

  @Test("a request is granted when the minimum interval since the last look-up is over")
  func request() {
    var schedule = schedule()
    #expect(due(schedule, since: 101, age: nil) == nil)
    schedule.request()
    schedule.request()
    #expect(due(schedule, since: 101, age: nil) == 130)
    #expect(due(schedule, since: 150, age: nil) == 130)
  }

  @Test("an age ends the wait without a request, also below the interval of requests, down to 1 s")
  func age() {
    var schedule = schedule()
    #expect(due(schedule, since: 101, age: .seconds(60)) == 161)
    #expect(due(schedule, since: 103, age: .seconds(2)) == 105)
    #expect(due(schedule, since: 100, age: .zero) == 101)
    #expect(due(schedule, since: 100, age: .seconds(-1)) == 101)
    #expect(schedule.due(waitingSince: 0, age: .seconds(Int64.max)) == .max)
    schedule.request()
    #expect(due(schedule, since: 101, age: .seconds(60)) == 130)
    #expect(due(schedule, since: 101, age: .seconds(2)) == 103)
  }

  @Test("the resolver's own interval bounds requests and ages") func ownInterval() {
    var schedule = schedule(own: .seconds(10))
    #expect(due(schedule, since: 101, age: .seconds(1)) == 110)
    schedule.request()
    #expect(due(schedule, since: 101, age: nil) == 110)
    #expect(due(schedule, since: 101, age: .seconds(1)) == 110)
  }

  @Test("a report answers the requests before it, a look-up those while it was due")
  func answered() {
    var schedule = schedule()
    schedule.request()
    schedule.reported()
    #expect(due(schedule, since: 101, age: nil) == nil)
    schedule.request()
    schedule.began(at: 140 * RefreshScheduleTests.second)
    #expect(!schedule.isRequested)
    #expect(due(schedule, since: 141, age: .seconds(1)) == 142)
    #expect(due(schedule, since: 141, age: nil) == nil)
  }

  @Test("a session made by an application keeps 30 s between look-ups without a request")
  func ownSession() async throws {
    let session = ResolverSession(
      onReport: { _ in }, onRefresh: { try await Task.sleep(for: .milliseconds(1)) })
    try await session.refreshRequested(within: .seconds(60))
    let never = ResolverSession(onReport: { _ in }, onRefresh: { throw CancellationError() })
    await #expect(throws: CancellationError.self) {
      try await never.refreshRequested(within: .zero)
    }
  }

  @Test("a mapped session changes reports and hands on the rest")
  func mapped() async throws {
    let (reports, report) = AsyncStream.makeStream(of: Resolution.self)
    let (ages, age) = AsyncStream.makeStream(of: Duration?.self)
    let session = ResolverSession(
      onReport: { report.yield($0) }, onFailure: { _ in }, onRefreshWithin: { age.yield($0) })
    let mapped = session.mapping {
      Resolution($0.endpoints.reversed(), note: "reversed")
    }
    mapped.report(Resolution([Endpoint(Address("a", 1)), Endpoint(Address("b", 1))]))
    try await mapped.refreshRequested(within: .seconds(5))
    var iterator = reports.makeAsyncIterator()
    #expect(
      await iterator.next()
        == Resolution(
          [Endpoint(Address("b", 1)), Endpoint(Address("a", 1))], note: "reversed"))
    var asked = ages.makeAsyncIterator()
    #expect(await asked.next() == .some(.some(.seconds(5))))
  }
}
