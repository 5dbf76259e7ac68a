// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Synchronization
internal import TrunkSockets

/// Lets so many short requests of this process to one agent run at once, first come, first served: a
/// process that begins hundreds of watches or registrations in one moment would exceed the connections
/// that an agent allows one address (Consul, Limits: `http_max_conns_per_client`, 200). Long polls have
/// a budget of their own (``PollBudget``).
///
/// Who has waited for ``patience`` goes on without a permit: an agent that does not answer holds up
/// nobody for longer.
final class RequestGate: Sendable {
  /// Each may have two connections, a kept one and that of a write: with the long polls, 160 at most,
  /// less than 200.
  static let most = 16
  static let patience = Duration.seconds(1)

  private struct State {
    var running = 0
    /// Oldest first.
    var waiting: [Signal] = []
  }
  private let state = Locked(State())
  private let most: Int
  private let patience: Duration

  init(most: Int = RequestGate.most, patience: Duration = RequestGate.patience) {
    self.most = most
    self.patience = patience
  }

  /// Whether others wait.
  var isContended: Bool { state.withLock { !$0.waiting.isEmpty } }

  /// - Throws: `CancellationError` while it waits; what `body` throws.
  func pass<Result>(_ body: () async throws -> Result) async throws -> Result {
    let hasPermit = try await enter()
    defer { if hasPermit { leave() } }
    return try await body()
  }

  private func enter() async throws -> Bool {
    let turn = state.withLock { state -> Signal? in
      if state.running < most {
        state.running += 1
        return nil
      }
      let turn = Signal()
      state.waiting.append(turn)
      return turn
    }
    guard let turn else { return true }
    do {
      _ = try await turn.sleep(for: patience)
    } catch {
      // It may have been given the permit meanwhile.
      if !giveUp(turn) { leave() }
      throw error
    }
    return !giveUp(turn)
  }

  /// False if it does not wait any more: it has a permit.
  private func giveUp(_ turn: Signal) -> Bool {
    state.withLock { state in
      guard let place = state.waiting.firstIndex(where: { $0 === turn }) else { return false }
      state.waiting.remove(at: place)
      return true
    }
  }

  /// Hands the permit on.
  private func leave() {
    let next = state.withLock { state -> Signal? in
      guard !state.waiting.isEmpty else {
        state.running -= 1
        return nil
      }
      return state.waiting.removeFirst()
    }
    next?.signal()
  }
}

/// The gates of a process, one for each agent, shared by watches and registrations.
final class RequestGates: Sendable {
  static let shared = RequestGates()

  private struct Weak { weak var gate: RequestGate? }
  private let gates = Locked<[String: Weak]>([:])

  /// - Parameter agent: its address.
  func gate(to agent: String) -> RequestGate {
    gates.withLock { gates in
      if let gate = gates[agent]?.gate { return gate }
      gates = gates.filter { $0.value.gate != nil }
      let gate = RequestGate()
      gates[agent] = Weak(gate: gate)
      return gate
    }
  }
}
