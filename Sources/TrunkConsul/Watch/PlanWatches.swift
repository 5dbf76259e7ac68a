// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery

/// Watches the parts of a plan for one channel, and reports what they find as one resolution. The plan
/// may change: what remains of it goes on, and the watches of the rest are released.
struct PlanWatches: Sendable {
  enum Source: Sendable {
    case fixed(WatchPlan)
    /// The plan is that of a discovery chain.
    case chain(ChainQuery, of: ConsulQuery)
  }

  let watches: SharedWatches
  let agent: ConsulAgent
  /// The agent's address, for the note.
  let name: String
  let options: WatchOptions
  let session: ResolverSession

  fileprivate enum Event: Sendable {
    case plan(WatchPlan)
    /// There is no plan yet.
    case unknown(String)
    case snapshot(BlockingQuery.Snapshot, WatchPlan.Part)
    /// Of the plan with this number.
    case delayPassed(Int)
    case refresh
  }

  /// Runs until its task is cancelled.
  func run(_ source: Source) async throws {
    let (events, sink) = AsyncStream.makeStream(of: Event.self)
    var chainKey: SharedWatches.ChainKey?
    var chain: AsyncStream<ChainSnapshot>?
    switch source {
    case .fixed(let plan): sink.yield(.plan(plan))
    case .chain(let query, _):
      let key = SharedWatches.ChainKey(agent: agent, query: query)
      chain = try watches.subscribe(key, options)
      chainKey = key
    }
    try await withThrowingTaskGroup(of: Void.self) { group in
      var subscriptions: [WatchPlan.Part: Task<Void, Never>] = [:]
      var delay: Task<Void, any Error>?
      defer {
        group.cancelAll()
        delay?.cancel()
        for task in subscriptions.values { task.cancel() }
      }
      group.addTask {
        while true {
          try await session.refreshRequested()
          sink.yield(.refresh)
        }
      }
      if let chain, case .chain(_, let query) = source {
        group.addTask {
          for await snapshot in chain { sink.yield(Event(snapshot, query)) }
        }
      }
      var merge: WatchMerge?
      var plans = 0
      for await event in events {
        var resolution: Resolution?
        switch event {
        case .plan(let plan):
          plans += 1
          if merge == nil {
            merge = WatchMerge(plan, agent: name, guards: options.timing.panicHold > .zero)
          } else {
            resolution = merge?.adopt(plan)
          }
          delay?.cancel()
          delay = Task { [plans] in
            try await options.clock.sleep(for: WatchMerge.delay)
            sink.yield(.delayPassed(plans))
          }
        case .unknown(let problem):
          assert(merge == nil, "a chain that was known is kept")
          resolution = Resolution([], note: "consul \(name): \(problem)")
          resolution?.isAnswer = false
        case .snapshot(let snapshot, let part): resolution = merge?.received(snapshot, of: part)
        case .delayPassed(let number) where number == plans: resolution = merge?.delayPassed()
        case .delayPassed: break
        case .refresh:
          for part in subscriptions.keys { watches.wake(key(part)) }
          if let chainKey { watches.wake(chainKey) }
        }
        if let resolution { session.report(resolution) }
        if let merge { try follow(merge.parts, &subscriptions, sink) }
      }
    }
    try Task.checkCancellation()
  }

  private func key(_ part: WatchPlan.Part) -> SharedWatches.Key {
    SharedWatches.Key(agent: agent, query: part.query)
  }

  private func follow(
    _ parts: Set<WatchPlan.Part>, _ subscriptions: inout [WatchPlan.Part: Task<Void, Never>],
    _ sink: AsyncStream<Event>.Continuation
  ) throws {
    guard subscriptions.count != parts.count || !parts.allSatisfy({ subscriptions[$0] != nil })
    else { return }
    for (part, task) in subscriptions where !parts.contains(part) {
      task.cancel()
      subscriptions[part] = nil
    }
    for part in parts where subscriptions[part] == nil {
      let stream = try watches.subscribe(key(part), options)
      subscriptions[part] = Task {
        for await snapshot in stream { sink.yield(.snapshot(snapshot, part)) }
      }
    }
  }
}

extension PlanWatches.Event {
  fileprivate init(_ snapshot: ChainSnapshot, _ query: ConsulQuery) {
    guard let routes = snapshot.routes else {
      self = .unknown("the discovery chain of \(query.service): \(snapshot.problem ?? "unknown")")
      return
    }
    self = .plan(WatchPlan(routes, query, problem: snapshot.problem))
  }
}
