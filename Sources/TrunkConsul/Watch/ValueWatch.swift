// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import TrunkDiscovery

/// A line for the log that a change of a watched value is worth.
struct LogLine: Equatable {
  var level: Logger.Level
  var text: String
}

/// Drives one ``ValueWatchState`` against an agent until its task is cancelled.
struct ValueWatch<Value: Sendable & Hashable>: Sendable {
  typealias Rules = ValueWatchState<Value>

  /// What is asked for, and what an answer says.
  struct Source: Sendable {
    var wait: Duration
    var request: @Sendable (_ index: UInt64?, _ wait: Duration?) -> HTTPRequest
    /// A status that is an answer as well.
    var missing: Int?
    var value: @Sendable (HTTPResponse) throws -> Value
    /// Whether it is what an agent without data answers.
    var isMissing: @Sendable (Value) -> Bool
    /// What is said of that.
    var missingText = "is missing"
    var failure: @Sendable (ConsulError) -> PollSchedule.Failure
  }

  let client: AgentClient
  let source: Source
  let timing: BlockingQueryTiming
  let polls: PollCounter
  let wakeUp: WakeUp
  let clock: WatchClock
  let logger: Logger

  /// - Parameter read: makes of a snapshot what is published.
  func run<Published>(
    _ publish: (Published) -> Void,
    _ read: (Rules.Snapshot) -> (snapshot: Published, log: [LogLine])
  ) async {
    var random = SystemRandom()
    var rules = Rules(wait: source.wait, timing: timing, missing: source.missingText)
    var step = rules.begin(at: clock.now)
    var place = client.current
    do {
      while true {
        try Task.checkCancellation()
        polls.record.judged(published: step.publish != nil)
        if let snapshot = step.publish {
          let read = read(snapshot)
          for line in read.log {
            logger.log(level: line.level, "consul \(client.name): \(line.text)")
          }
          publish(read.snapshot)
        }
        switch step.next {
        case .sleep(let duration):
          try await clock.sleep(for: duration)
          step = rules.timerFired(at: clock.now)
        case .backOff(let duration, let least):
          try await wakeUp.sleep(for: duration, least: least)
          step = rules.timerFired(at: clock.now)
        case .query(let index, let wait, let timeout):
          _ = try await client.returnsToFirst()
          if client.current != place {
            place = client.current
            step = rules.moved(at: clock.now)
            continue
          }
          do {
            guard let answer = try await ask(index, wait, timeout) else {
              client.close()
              step = rules.overBudget(using: &random)
              continue
            }
            // It is another agent's: asked for again, as that one's.
            if client.current != place { continue }
            polls.record.answered(answer.headers, at: clock.now)
            let value = try source.value(answer)
            step = rules.answered(
              value, isMissing: source.isMissing(value), index: answer.headers["x-consul-index"],
              knowsLeader: AnswerInfo(answer.headers).knowsLeader, at: clock.now, using: &random)
          } catch let error as ConsulError {
            logger.debug("\(error)")
            // An answer that is not Consul's; what had none has moved on already.
            client.moveOn(from: place, after: error)
            polls.record.failed(error.reason)
            step = rules.failed(source.failure(error), at: clock.now, using: &random)
          }
        }
      }
    } catch {
      // Cancelled: every other error is a ConsulError.
      client.close()
    }
  }

  /// Nil if there is no room for another long poll.
  private func ask(
    _ index: UInt64?, _ wait: Duration?, _ timeout: Duration
  ) async throws -> HTTPResponse? {
    let request = source.request(index, wait)
    polls.record.sent(request, to: client.name)
    guard let wait else {
      return try await polls.short(by: client) {
        try await client.answer(request, timeout: timeout, missing: source.missing)
      }
    }
    return try await polls.poll(for: wait) {
      try await client.answer(
        request, timeout: timeout, mayRepeat: false, missing: source.missing)
    }
  }
}
