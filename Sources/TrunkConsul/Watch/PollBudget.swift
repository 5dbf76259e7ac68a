// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Synchronization
internal import TrunkSockets

/// The number of long polls that an agent holds for this process, abandoned ones included: it holds
/// the connection of a poll until its wait is over, even if the client closed it, and refuses
/// connection 201 from one address (Consul, Limits: `http_max_conns_per_client`). Time is an
/// argument.
package struct PollBudget: Sendable {
  package typealias Instant = ContinuousClock.Instant

  /// Leaves 40 of the agent's 200 to other requests and programs of the host.
  package static let most = 160

  private var running = 0
  /// When the waits of abandoned polls end.
  private var abandoned: [Instant] = []

  package init() {}

  /// False if there are `limit` already.
  package mutating func begin(limit: Int, at now: Instant) -> Bool {
    abandoned.removeAll { $0 <= now }
    guard running + abandoned.count < min(limit, PollBudget.most) else { return false }
    running += 1
    return true
  }

  /// Whether there may be another one; abandoned ones whose wait has ended count until the next begins.
  package func hasRoom(limit: Int) -> Bool {
    running + abandoned.count < min(limit, PollBudget.most)
  }

  /// A poll has ended: answered, or its connection closed by the agent.
  package mutating func ended() { running -= 1 }

  /// A poll was abandoned, and the agent still holds it.
  package mutating func abandoned(until end: Instant) {
    running -= 1
    abandoned.append(end)
  }

  package func statistics(
    agent: String, limit: Int, at now: Instant
  ) -> ConsulAgentStatistics {
    ConsulAgentStatistics(
      address: agent, polls: running, abandonedPolls: abandoned.count { $0 > now },
      limit: min(limit, PollBudget.most))
  }

  package var isEmpty: Bool { running == 0 && abandoned.isEmpty }
}

/// The budgets of a process, one for each agent.
package final class PollBudgets: Sendable {
  private let budgets = Locked<[String: PollBudget]>([:])

  package init() {}

  func statistics(limit: Int, at now: PollBudget.Instant) -> [ConsulAgentStatistics] {
    budgets.withLock { $0 }.map { $1.statistics(agent: $0, limit: limit, at: now) }
      .filter { $0.polls + $0.abandonedPolls > 0 }
      .sorted { $0.address < $1.address }
  }

  fileprivate func hasRoom(_ agent: String, limit: Int) -> Bool {
    budgets.withLock { $0[agent]?.hasRoom(limit: limit) ?? true }
  }

  fileprivate func change<Result: Sendable>(
    _ agent: String, _ body: (inout PollBudget) -> Result
  ) -> Result {
    budgets.withLock { budgets in
      let result = body(&budgets[agent, default: PollBudget()])
      if budgets[agent]?.isEmpty == true { budgets[agent] = nil }
      return result
    }
  }
}

/// Counts the long polls of one watch, and keeps its record.
struct PollCounter: Sendable {
  let budgets: PollBudgets
  /// The address of the agent that is asked at the moment.
  let agent: @Sendable () -> String
  let limit: Int
  let clock: WatchClock
  var record = WatchRecord()

  /// Runs `body`, which is a short request, and returns without a kept connection where others wait for
  /// theirs, or there is no room for a long poll on it.
  func short<Answer>(
    by client: AgentClient, _ body: () async throws -> Answer
  ) async throws -> Answer {
    let agent = agent()
    let gate = RequestGates.shared.gate(to: agent)
    return try await gate.pass {
      defer { if gate.isContended || !budgets.hasRoom(agent, limit: limit) { client.close() } }
      return try await body()
    }
  }

  /// Runs `body`, which is one long poll; nil if there is no room for it. On every path its part of
  /// the budget is released: at once if the agent has ended the poll, else after `wait`.
  func poll<Answer>(
    for wait: Duration, _ body: () async throws -> Answer
  ) async throws -> Answer? {
    let (start, agent) = (clock.now, agent())
    guard budgets.change(agent, { $0.begin(limit: limit, at: start) }) else { return nil }
    do {
      let answer = try await body()
      budgets.change(agent) { $0.ended() }
      return answer
    } catch {
      switch error {
      case ConsulError.unreachable, ConsulError.refused, ConsulError.malformed:
        budgets.change(agent) { $0.ended() }
      default:
        // The agent adds up to a sixteenth (Consul, Blocking Queries).
        budgets.change(agent) { $0.abandoned(until: start + wait + wait / 16) }
      }
      throw error
    }
  }
}
