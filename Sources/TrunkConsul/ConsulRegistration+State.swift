// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery
internal import TrunkSockets

extension ConsulRegistration {
  /// What is known of a registration.
  public enum State: Sendable, Hashable {
    /// `run()` has not begun, or the server does not listen yet.
    case waiting
    /// The first registration is under way.
    case registering
    /// The agent has it since then, and no check of it is known to fail.
    case registered(since: ContinuousClock.Instant)
    /// The agent does not answer, or refuses; it is asked again.
    case trouble(reason: String)
    /// The agent refuses the definition for good; see ``ConsulRegistrationOptions/onRefusal``.
    case refused(reason: String)
    /// Registered, but a check of it fails: its output.
    case critical(output: String)
    /// Registered, but taken out by an operator or by ``setMaintenance(_:reason:)``.
    case inMaintenance(reason: String)
    /// The stop has begun.
    case leaving
    /// `run()` has ended.
    case gone
  }

  /// The state at this moment.
  public var state: State { status.current }

  /// The present state, then every change; ends after ``State/gone``. A reader that is slow misses
  /// all but the newest 16.
  public var states: AsyncStream<State> { status.changes() }
}

/// A registration's state for readers on any thread, who get the states in the order in which they
/// were set.
final class RegistrationStatus: Sendable {
  typealias State = ConsulRegistration.State
  private struct Reader {
    var continuation: AsyncStream<State>.Continuation
    /// The number of the state that it began with; it gets those after it.
    var since: UInt64
  }
  private struct Readers {
    var current = State.waiting
    /// Of ``current``.
    var number: UInt64 = 0
    var readers: [UInt64: Reader] = [:]
    var lastKey: UInt64 = 0
    /// Not yet given to the readers, oldest first.
    var pending: [(state: State, number: UInt64)] = []
    /// A call of ``set(_:)`` gives them out, one at a time.
    var isGivingOut = false
  }
  private let state = Locked(Readers())
  private static let backlog = 16

  var current: State { state.withLock { $0.current } }

  /// After `.leaving` only `.gone` follows.
  func set(_ new: State) {
    let givesOut = state.withLock { state -> Bool in
      let isOver = state.current == .gone || (state.current == .leaving && new != .gone)
      guard !isOver, new != state.current else { return false }
      state.current = new
      state.number += 1
      state.pending.append((new, state.number))
      defer { state.isGivingOut = true }
      return !state.isGivingOut
    }
    // Not under the lock: it resumes a task. Another call that comes meanwhile leaves its state here.
    while givesOut, let (next, readers) = nextToGiveOut() {
      for reader in readers {
        reader.yield(next)
        if next == .gone { reader.finish() }
      }
    }
  }

  private func nextToGiveOut() -> (State, [AsyncStream<State>.Continuation])? {
    state.withLock { state in
      guard !state.pending.isEmpty else {
        state.isGivingOut = false
        return nil
      }
      let (next, number) = state.pending.removeFirst()
      let readers = state.readers.values.filter { $0.since < number }.map(\.continuation)
      if next == .gone { state.readers = [:] }
      return (next, readers)
    }
  }

  func changes() -> AsyncStream<State> {
    let (stream, continuation) = AsyncStream.makeStream(
      of: State.self, bufferingPolicy: .bufferingNewest(RegistrationStatus.backlog))
    let key = state.withLock { state -> UInt64? in
      // Nobody waits for it yet: the stream is returned below.
      continuation.yield(state.current)
      guard state.current != .gone else { return nil }
      state.lastKey += 1
      state.readers[state.lastKey] = Reader(continuation: continuation, since: state.number)
      return state.lastKey
    }
    if let key {
      continuation.onTermination = { [weak self] _ in
        self?.state.withLock { $0.readers[key] = nil }
      }
    } else {
      continuation.finish()
    }
    return stream
  }
}
