// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkWire

/// The connections of a READY subchannel beside its first one (gRFC A105): made while calls are queued
/// because each connection has as many streams as its server allows.
///
/// ```
///   one ── wanted, below the maximum, no attempt under way, no back-off ──► attempt ── ready ──► two …
///                                                     back-off ◄── failed ──┘
/// ```
/// - One attempt at a time, to the address of the first connection. The back-off is the subchannel's:
///   a connection that succeeds resets it. An address whose connections end before they answer a call
///   has its own back-off, as for the first connection.
/// - When a connection has joined, the calls that are queued take its streams; there is another
///   attempt if the group tells after it that calls wait still.
/// - None is closed for having become too many; each ends with its server.
/// - When the first one ends the oldest of the others takes its place, and the subchannel stays READY.
///   Without others it is CONNECTING if an attempt is under way, and TRANSIENT_FAILURE in back-off,
///   unless there are other addresses: the attempt, or its failure, is part of a pass over all.
struct ConnectionScaling: Sendable {
  /// Of the subchannel, the first one included.
  var maximum = 1
  /// Calls are queued, and no connection has a stream for them.
  var isWanted = false
  /// READY, oldest first, without the first one.
  var others: [SubchannelCore.Attempt] = []
  var attempt: SubchannelCore.Attempt?
  /// The back-off's end after a failure.
  var notBefore: UInt64 = 0
  var lastError: String?
}

extension SubchannelCore {
  /// Begins an attempt if one is due.
  mutating func scale(
    _ now: UInt64, _ random: inout some RandomNumberGenerator, _ actions: inout [SubchannelAction]
  ) {
    guard case .ready(let first) = phase, scaling.isWanted, scaling.attempt == nil,
      1 + scaling.others.count < scaling.maximum
    else { return }
    let start = max(scaling.notBefore, restEnd(first.address))
    guard start <= now else {
      actions.append(.timer(at: start))
      return
    }
    lastID &+= 1
    scaling.notBefore = now.saturatingAdd(backoff.next(using: &random))
    scaling.attempt = Attempt(id: lastID, address: first.address, began: now)
    let deadline = max(
      scaling.notBefore, now.saturatingAdd(SubchannelCore.minimumConnectTimeout))
    actions.append(.attempt(id: lastID, address: first.address, deadline: deadline))
  }

  /// - Returns: whether it was a further connection's attempt.
  mutating func scaled(_ id: UInt32, _ actions: inout [SubchannelAction]) -> Bool {
    guard case .ready = phase, let attempt = scaling.attempt, attempt.id == id else { return false }
    scaling.attempt = nil
    scaling.notBefore = 0
    scaling.lastError = nil
    scaling.isWanted = false
    backoff.reset()
    history[attempt.address] = nil
    scaling.others.append(attempt)
    actions.append(.joined(id: id))
    return true
  }

  /// - Returns: whether it was a further connection's attempt.
  mutating func scalingFailed(
    _ id: UInt32, _ error: String, _ now: UInt64, _ random: inout some RandomNumberGenerator,
    _ actions: inout [SubchannelAction]
  ) -> Bool {
    guard case .ready = phase, let attempt = scaling.attempt, attempt.id == id else { return false }
    scaling.attempt = nil
    scaling.lastError = "\(attempt.address) \(error)"
    scale(now, &random, &actions)
    return true
  }

  /// The first connection ended, or its address is no longer listed: what the subchannel is now.
  mutating func firstEnded(
    _ first: Attempt, _ error: String?, _ now: UInt64, _ actions: inout [SubchannelAction]
  ) {
    let further = candidates(now).filter { $0 != first.address }
    if !scaling.others.isEmpty {
      let next = scaling.others.removeFirst()
      phase = .ready(next)
      actions.append(.promoted(id: next.id))
    } else if let attempt = scaling.attempt {
      scaling.attempt = nil
      actions.append(.report(.connecting, error: nil))
      let start = max(now, attempt.began.saturatingAdd(SubchannelCore.attemptDelay))
      proceed(
        Pass(
          waiting: further, attempts: [attempt], nextStart: start,
          backoffDeadline: scaling.notBefore), now, &actions)
    } else if scaling.notBefore > now, !further.isEmpty {
      actions.append(.report(.connecting, error: nil))
      proceed(
        Pass(
          waiting: further, nextStart: now, backoffDeadline: scaling.notBefore,
          failed: [first.address], lastError: scaling.lastError), now, &actions)
    } else if scaling.notBefore > now {
      phase = .backingOff(until: scaling.notBefore, wanted: false)
      actions.append(.timer(at: scaling.notBefore))
      actions.append(.report(.transientFailure, error: scaling.lastError ?? error))
    } else {
      phase = .idle
      actions.append(.report(.idle, error: error))
    }
    if case .ready = phase { return }
    scaling.isWanted = false
    scaling.notBefore = 0
    scaling.lastError = nil
  }

  /// Connections to addresses that are no longer listed.
  mutating func drainOthers(
    where isGone: (Attempt) -> Bool, _ actions: inout [SubchannelAction]
  ) {
    for other in scaling.others where isGone(other) { actions.append(.drain(id: other.id)) }
    scaling.others.removeAll(where: isGone)
    guard let attempt = scaling.attempt, isGone(attempt) else { return }
    actions.append(.abandon(id: attempt.id))
    scaling.attempt = nil
  }
}
