// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
package import TrunkDiscovery

/// The service config of one key at one moment, as its watch publishes it.
package struct ConfigSnapshot: Sendable, Hashable {
  /// nil: the key is missing, or was never read, or its value has no config for this client.
  package var config: ServiceConfig?
  /// Why the value was refused (gRFC A21: the channel keeps the config before it).
  package var error: ServiceConfigError?
  /// For the resolver's note: `config from kv:orders`, `no config at kv:orders`.
  package var note: String
}

/// Drives one ``ConfigWatchState`` against an agent until its task is cancelled.
struct ConfigWatch: Sendable {
  let client: AgentClient
  let query: ConfigQuery
  let timing: BlockingQueryTiming
  let polls: PollCounter
  let wakeUp: WakeUp
  let clock: WatchClock
  let logger: Logger

  func run(_ publish: (ConfigSnapshot) -> Void) async {
    var random = SystemRandom()
    var rules = ConfigWatchState(wait: query.wait, timing: timing)
    var reader = ConfigReader(query.key)
    var step = rules.begin(at: clock.now)
    do {
      while true {
        try Task.checkCancellation()
        polls.record.judged(published: step.publish != nil)
        if let snapshot = step.publish {
          let read = reader.read(snapshot)
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
          do {
            guard let answer = try await ask(index, wait, timeout) else {
              client.close()
              step = rules.overBudget(using: &random)
              continue
            }
            polls.record.answered(answer.headers, at: clock.now)
            step = rules.answered(
              try client.value(of: answer), index: answer.headers["x-consul-index"],
              knowsLeader: AnswerInfo(answer.headers).knowsLeader, at: clock.now, using: &random)
          } catch let error as ConsulError {
            logger.debug("\(error)")
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
  private func ask(
    _ index: UInt64?, _ wait: Duration?, _ timeout: Duration
  ) async throws -> HTTPResponse? {
    let request = query.request(index: index, wait: wait)
    polls.record.sent(request)
    guard let wait else { return try await client.answer(request, timeout: timeout, missing: 404) }
    return try await polls.poll(for: wait) {
      try await client.answer(request, timeout: timeout, mayRepeat: false, missing: 404)
    }
  }
}
