// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import TrunkDiscovery
import Trunkcall

/// A channel's side of a session: reports and the ages that a resolver waits for come out of
/// streams, refreshes are requested.
struct Line {
  let session: ResolverSession
  let reports: AsyncStream<Resolution>
  let failures: AsyncStream<String>
  let ages: AsyncStream<Duration?>
  let refresh: AsyncStream<Void>.Continuation

  init() {
    let (reports, report) = AsyncStream.makeStream(of: Resolution.self)
    let (failures, fail) = AsyncStream.makeStream(of: String.self)
    let (ages, age) = AsyncStream.makeStream(of: Duration?.self)
    let (wishes, refresh) = AsyncStream.makeStream(of: Void.self)
    self.reports = reports
    self.failures = failures
    self.ages = ages
    self.refresh = refresh
    session = ResolverSession(
      onReport: { report.yield($0) }, onFailure: { fail.yield($0) },
      onRefreshWithin: {
        age.yield($0)
        var iterator = wishes.makeAsyncIterator()
        if await iterator.next() == nil { throw CancellationError() }
      })
  }

  /// The first report of `text`, resolved once.
  func first(
    _ text: String, by resolver: any Resolver = DNSResolver()
  ) async throws -> Resolution {
    let target = try Target.parse(text)
    try resolver.validate(target)
    return try await withThrowingTaskGroup(of: Resolution?.self) { group in
      group.addTask {
        try await resolver.resolve(target, session)
        return nil
      }
      group.addTask {
        var iterator = reports.makeAsyncIterator()
        return await iterator.next()
      }
      defer { group.cancelAll() }
      while let result = try await group.next() { if let result { return result } }
      throw CancellationError()
    }
  }
}
