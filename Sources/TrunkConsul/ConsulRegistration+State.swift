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

/// A registration's state for readers on any thread.
final class RegistrationStatus: Sendable {
  typealias State = ConsulRegistration.State
  private struct Readers {
    var current = State.waiting
    var readers: [UInt64: AsyncStream<State>.Continuation] = [:]
    var lastKey: UInt64 = 0
  }
  private let state = Locked(Readers())
  private static let backlog = 16

  var current: State { state.withLock { $0.current } }

  /// After `.leaving` only `.gone` follows.
  func set(_ new: State) {
    let readers = state.withLock { state -> [AsyncStream<State>.Continuation] in
      let isOver = state.current == .gone || (state.current == .leaving && new != .gone)
      guard !isOver, new != state.current else { return [] }
      state.current = new
      defer { if new == .gone { state.readers = [:] } }
      return Array(state.readers.values)
    }
    for reader in readers {
      reader.yield(new)
      if new == .gone { reader.finish() }
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
      state.readers[state.lastKey] = continuation
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
