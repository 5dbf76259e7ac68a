// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery
internal import TrunkSockets
internal import TrunkWire

/// The calls of a channel whose policy may make a further attempt without anything coming from a
/// server: those that wait for a retry, and hedged ones without a chosen attempt. When the channel
/// is closed they make none.
///
/// `Locked`: the calls' loops add and remove them, the control loop closes.
final class FurtherAttempts: Sendable {
  private struct State {
    var calls: [ObjectIdentifier: ClientCall] = [:]
    var isClosed = false
  }
  private let state = Locked(State())

  var isClosed: Bool { state.withLock { $0.isClosed } }

  /// - Returns: false if the channel is closed.
  func add(_ call: ClientCall) -> Bool {
    state.withLock { state in
      guard !state.isClosed else { return false }
      state.calls[ObjectIdentifier(call)] = call
      return true
    }
  }

  func remove(_ call: ClientCall) {
    let removed = state.withLock { $0.calls.removeValue(forKey: ObjectIdentifier(call)) }
    _ = removed  // released outside the lock
  }

  func close() {
    let calls = state.withLock { state in
      state.isClosed = true
      defer { state.calls = [:] }
      return state.calls
    }
    for call in calls.values { call.postToOwningLoop { $0.makesNoFurtherAttempt() } }
  }
}

extension ClientCall {
  /// The channel was closed.
  fileprivate func makesNoFurtherAttempt() {
    switch policy {
    case .retries(let retries):
      // Else an attempt is under way, which may finish.
      guard retries.timer != nil else { return }
      abort(RPCError(.unavailable, "the channel is closed"))
    case .hedged(let hedged): hedged.stop(self)
    case .none, .hedge: break
    }
  }
}
