// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery
internal import TrunkSockets

/// A channel's state for readers on any thread.
final class StateWatch: Sendable {
  private struct State {
    var current = ConnectivityState.idle
    var watchers: [UInt64: AsyncStream<ConnectivityState>.Continuation] = [:]
    var lastKey: UInt64 = 0
  }
  private let state = Locked(State())

  /// States that a slow reader may lag behind; older ones are dropped.
  private static let backlog = 16

  var current: ConnectivityState { state.withLock { $0.current } }

  func set(_ new: ConnectivityState) {
    let watchers = state.withLock { state -> [AsyncStream<ConnectivityState>.Continuation] in
      guard new != state.current else { return [] }
      state.current = new
      let watchers = Array(state.watchers.values)
      if new == .shutdown { state.watchers = [:] }
      return watchers
    }
    for watcher in watchers {
      watcher.yield(new)
      if new == .shutdown { watcher.finish() }
    }
  }

  /// The present state, then every change; ends after `.shutdown`.
  func changes() -> AsyncStream<ConnectivityState> {
    let (stream, continuation) = AsyncStream.makeStream(
      of: ConnectivityState.self, bufferingPolicy: .bufferingNewest(StateWatch.backlog))
    let key = state.withLock { state -> UInt64? in
      // Nobody waits for it yet: the stream is returned below.
      continuation.yield(state.current)
      guard state.current != .shutdown else { return nil }
      state.lastKey += 1
      state.watchers[state.lastKey] = continuation
      return state.lastKey
    }
    if let key {
      continuation.onTermination = { [weak self] _ in
        self?.state.withLock { $0.watchers[key] = nil }
      }
    } else {
      continuation.finish()
    }
    return stream
  }
}
