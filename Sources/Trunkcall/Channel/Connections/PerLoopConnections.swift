// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery

/// What happens to the per-loop connections of a subchannel's connection.
enum PerLoopConnectionEvent: Sendable, Hashable {
  /// The first connection takes calls.
  case opened
  /// It takes no more calls.
  case closed
  /// A call came from a loop that has none.
  case wanted(loop: Int)
  case ready(id: UInt32)
  /// The attempt failed.
  case failed(id: UInt32)
  /// It takes no more calls.
  case ended(id: UInt32, use: ConnectionUse)
  /// One that had ended as `.undecided` has answered a call, or is closed without an answer.
  case decided(answered: Bool)
  /// The network changed: try again without waiting.
  case resetBackoff
}

/// Commands for the further connections.
enum PerLoopConnectionAction: Sendable, Hashable {
  /// Connect to the address of the first connection, on that loop.
  case connect(id: UInt32, loop: Int)
  /// Let that connection finish its calls, then close it; no event of it follows.
  case drain(id: UInt32)
  /// What the loops get has changed.
  case changed
}

/// The further connections of one subchannel: at most one on each loop but the first connection's,
/// so that calls which begin on a loop need not leave it. On each loop:
///
/// ```
///   none ── wanted, not in a pause ──► connecting ── ready ──► ready
///    ▲                                      │                    │
///    └──────────── failed, a pause ─────────┴── ended ───────────┘
/// ```
/// - They are closed with the first connection, and have no part in the subchannel's state: a
///   failure of one is not reported to the policy, its loop's calls use the first one again.
/// - The pause is one for all loops. It follows each failure and each connection that ended without
///   an answered call, and grows as a backoff does until one has answered a call (SETTINGS alone
///   are no proof: a server may close right after them).
/// - After a failure there is one attempt at a time, so that a server that accepts no further
///   connection gets one attempt in each pause, however many loops there are.
struct PerLoopConnections: Sendable {
  /// A loop's entry.
  enum Availability: Sendable, Hashable {
    /// It has a connection.
    case connected(id: UInt32)
    /// It may ask for one at that time; `.max`: not before the next publication.
    case notBefore(UInt64)
  }

  private struct Entry: Sendable {
    var id: UInt32
    var began: UInt64
    var isReady = false
  }

  private var isOpen = false
  private var byLoop: [Int: Entry] = [:]
  private var lastID: UInt32 = 0
  private var backoff: Backoff
  private var pausedUntil: UInt64 = 0
  /// The time of the last failure.
  private var lastFailure: UInt64 = 0
  /// One attempt at a time, until one succeeds.
  private var isCautious = false

  init(backoff: Backoff = Backoff()) { self.backoff = backoff }

  func availability(for loop: Int) -> Availability {
    // Nothing can ask: the loops have no connection to the subchannel.
    guard isOpen else { return .notBefore(0) }
    if let perLoop = byLoop[loop] {
      return perLoop.isReady ? .connected(id: perLoop.id) : .notBefore(.max)
    }
    return .notBefore(mustWaitForOthers ? .max : pausedUntil)
  }

  mutating func handle(
    _ event: PerLoopConnectionEvent, now: UInt64, random: inout some RandomNumberGenerator
  ) -> [PerLoopConnectionAction] {
    switch event {
    case .opened:
      guard !isOpen else { return [] }
      isOpen = true
      return pausedUntil > now ? [.changed] : []
    case .closed:
      guard isOpen else { return [] }
      let all = byLoop.values.map(\.id).sorted()
      isOpen = false
      byLoop = [:]
      return all.isEmpty && pausedUntil == 0 ? [] : all.map { .drain(id: $0) } + [.changed]
    case .wanted(let loop):
      guard isOpen, byLoop[loop] == nil, pausedUntil <= now, !mustWaitForOthers else { return [] }
      lastID &+= 1
      byLoop[loop] = Entry(id: lastID, began: now)
      return [.connect(id: lastID, loop: loop), .changed]
    case .ready(let id):
      guard let loop = loop(of: id) else { return [] }
      byLoop[loop]?.isReady = true
      isCautious = false
      return [.changed]
    case .failed(let id):
      guard let loop = loop(of: id), let lost = byLoop.removeValue(forKey: loop) else { return [] }
      // Those that began before the last failure count as part of it.
      if lost.isReady || lost.began >= lastFailure { pause(now, &random) }
      return [.changed]
    case .ended(let id, let use):
      guard let loop = loop(of: id) else { return [] }
      byLoop[loop] = nil
      switch use {
      case .answered: backoff.reset()
      case .unanswered, .unused: pause(now, &random)
      case .undecided: break
      }
      return [.changed]
    case .decided(let answered):
      guard !answered else {
        backoff.reset()
        return []
      }
      pause(now, &random)
      return [.changed]
    case .resetBackoff:
      backoff.reset()
      isCautious = false
      guard pausedUntil > 0 else { return [] }
      pausedUntil = 0
      return [.changed]
    }
  }

  private var mustWaitForOthers: Bool { isCautious && byLoop.values.contains { !$0.isReady } }

  private mutating func pause(_ now: UInt64, _ random: inout some RandomNumberGenerator) {
    lastFailure = now
    isCautious = true
    let (until, overflow) = now.addingReportingOverflow(backoff.next(using: &random))
    pausedUntil = overflow ? .max : until
  }

  private func loop(of id: UInt32) -> Int? { byLoop.first { $0.value.id == id }?.key }
}
