// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import TrunkDiscovery

/// Drives one ``BlockingQuery`` against an agent until its task is cancelled.
struct QueryWatch: Sendable {
  let client: AgentClient
  let query: ConsulQuery
  let timing: BlockingQueryTiming
  /// Where the last good set is kept on disk; nil: nowhere.
  let file: InstanceFile?
  /// Counts the long polls to this agent.
  let polls: PollCounter
  /// Ends a back-off early.
  let wakeUp: WakeUp
  let clock: WatchClock
  let logger: Logger

  func run(_ publish: (BlockingQuery.Snapshot) -> Void) async {
    var random = SystemRandom()
    var rules = BlockingQuery(
      wait: query.wait, explains: query.health == .passing,
      maxStale: query.consistency == .stale ? query.maxStale : nil,
      interval: query.kind == .prepared ? query.interval : nil,
      stored: await file?.load(logger), timing: timing)
    var versionFits = query.leastVersion == nil
    var place = client.current
    var step = rules.begin(at: clock.now)
    var unreadable: [String] = []
    do {
      while true {
        try Task.checkCancellation()
        polls.record.judged(published: step.publish != nil, holds: rules.holds)
        if var snapshot = step.publish {
          if client.isElsewhere { snapshot.note += "; asked at \(client.name)" }
          logger.debug("consul \(client.name): \(query.service): \(snapshot.note)")
          publish(snapshot)
        }
        if let endpoints = step.save { await file?.save(endpoints, logger) }
        switch step.next {
        case .sleep(let duration):
          try await clock.sleep(for: duration)
          step = rules.timerFired(at: clock.now)
        case .backOff(let duration, let least):
          try await wakeUp.sleep(for: duration, least: least)
          step = rules.timerFired(at: clock.now)
        case .explain(let timeout):
          let all = try await explain(timeout)
          step = rules.explained(
            all?.counts, critical: all?.critical ?? [], takenOut: all?.inMaintenance ?? [],
            at: clock.now)
        case .query, .queryLeader:
          _ = try await client.returnsToFirst()
          do {
            if client.current != place {
              place = client.current
              versionFits = query.leastVersion == nil
              step = rules.moved(at: clock.now)
              continue
            }
            if !versionFits { try await checkVersion() }
            versionFits = true
            guard let answer = try await ask(step.next) else {
              logger.debug("consul \(client.name): \(query.service): no room for a long poll")
              client.close()
              step = rules.overBudget(using: &random)
              continue
            }
            // It is another agent's: asked for again, as that one's.
            if client.current != place { continue }
            if answer.mapping.counts.unreadable != unreadable {
              unreadable = answer.mapping.counts.unreadable
              for one in unreadable {
                logger.warning("consul \(client.name): \(query.service): left out \(one)")
              }
            }
            step = rules.answered(answer, at: clock.now, using: &random)
          } catch let error as ConsulError {
            logger.debug("\(error)")
            // An answer that is not Consul's; what had none has moved on already.
            client.moveOn(from: place, after: error)
            polls.record.failed(error.reason)
            step = rules.failed(BlockingQuery.Failure(error), at: clock.now, using: &random)
          }
        }
      }
    } catch {
      // Cancelled: every other error is a ConsulError.
      client.close()
    }
  }

  /// Nil if there is no room for another long poll.
  private func ask(_ next: BlockingQuery.Next) async throws -> BlockingQuery.Answer? {
    guard case .query(let index, let wait, let timeout) = next else {
      guard case .queryLeader(let timeout) = next else { return nil }
      var query = query
      query.consistency = .default
      let request = query.request(index: nil, wait: nil)
      polls.record.sent(request, to: client.name)
      return try answer(await client.send(request, timeout: timeout))
    }
    let request = query.request(index: index, wait: wait)
    polls.record.sent(request, to: client.name)
    guard let wait else {
      return try await polls.short(by: client) {
        try answer(await client.send(request, timeout: timeout))
      }
    }
    return try await polls.poll(for: wait) {
      try answer(await client.send(request, timeout: timeout, mayRepeat: false))
    }
  }

  private func answer(_ response: HTTPResponse) throws -> BlockingQuery.Answer {
    let entries =
      query.kind == .prepared
      ? try client.preparedEntries(of: response) : try client.entries(of: response)
    polls.record.answered(response.headers, at: clock.now)
    let info = AnswerInfo(response.headers)
    if let facts = info.notable {
      logger.debug("consul \(client.name): \(query.service): \(facts)")
    }
    var mapping = InstanceMapping(entries, for: query)
    mapping.counts.remark = info.remark
    return BlockingQuery.Answer(index: response.headers["x-consul-index"], mapping, info)
  }

  /// An agent that does not know a parameter ignores it. One that does not tell its version is believed
  /// to know all.
  private func checkVersion() async throws {
    guard let (least, parameter) = query.leastVersion else { return }
    let version: ConsulVersion?
    do {
      version = try await client.version(timeout: timing.answerTimeout)
    } catch ConsulError.refused(_, 403, _) {
      return
    }
    guard let version, version < least else { return }
    throw ConsulError.refused(
      agent: client.name, status: 400,
      text: "\(parameter) needs Consul \(least); the agent is \(version)")
  }

  /// All instances; nil if they are not available, which does not fail the watch.
  private func explain(_ timeout: Duration) async throws -> InstanceMapping? {
    do {
      let request = query.request(index: nil, wait: nil, health: .any)
      let answer = try await polls.short(by: client) {
        try await client.send(request, timeout: timeout)
      }
      var mapping = InstanceMapping(try client.entries(of: answer), for: query)
      if mapping.counts.total == 0 {
        mapping.counts.hidden = try await client.hides(answer, timeout: timeout)
      }
      return mapping
    } catch is ConsulError {
      return nil
    }
  }
}

extension BlockingQuery.Failure {
  init(_ error: ConsulError) {
    switch error {
    case .refused(_, let status, _): self = .status(status, error.reason)
    case .malformed: self = .malformed(error.reason)
    // Retried as slowly as a refused token: the file has to be repaired.
    case .tokenFile: self = .status(403, "\(error)")
    case .badAddress, .unreachable, .timedOut, .tooManyWatches, .nothingToAdvertise,
      .invalidService, .needsNewerAgent:
      self = .transport(error.reason)
    }
  }
}
