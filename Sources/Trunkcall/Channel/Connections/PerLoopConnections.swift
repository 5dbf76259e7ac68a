// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery

/// What happens to the per-loop connections of a subchannel's connection.
enum PerLoopConnectionEvent: Sendable, Hashable {
  /// The first connection takes calls.
  case opened
  /// It does so no more.
  case closed
  /// A call came from a loop that has none.
  case wanted(loop: Int)
  case ready(id: UInt32)
  /// It never got that far.
  case failed(id: UInt32)
  /// It takes no more calls.
  case ended(id: UInt32, use: ConnectionUse)
  /// One that had ended as `.undecided` has answered a call, or is closed without an answer.
  case decided(answered: Bool)
  /// The network changed: no reason to wait any longer.
  case resetBackoff
}

/// What the per-loop connections want done.
enum PerLoopConnectionAction: Sendable, Hashable {
  /// Connect to where the first connection leads, on that loop.
  case connect(id: UInt32, loop: Int)
  /// Let that connection finish its calls, then close it; nothing more is heard of it.
  case drain(id: UInt32)
  /// Some loops are to be told something else.
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
/// - They live no longer than the first connection, and have no part in the subchannel's state:
///   what goes wrong with one is no news for the policy, its loop's calls go by the first one
///   again.
/// - The pause is one for all loops. It follows each failure and each connection that ended without
///   an answered call, and grows as a backoff does until one has answered a call (SETTINGS alone
///   prove nothing: a server may hang up after them).
/// - After something went wrong there is one attempt at a time, so that a server that wants no
///   further connection meets one in each pause, however many loops there are.
struct PerLoopConnections: Sendable {
  /// What a loop is told.
  enum Availability: Sendable, Hashable {
    /// It has a connection.
    case connected(id: UInt32)
    /// It may ask for one then; `.max`: it has to wait for other news.
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
  /// When something last went wrong.
  private var lastTrouble: UInt64 = 0
  private var isCautious = false

  init(backoff: Backoff = Backoff()) { self.backoff = backoff }

  func availability(for loop: Int) -> Availability {
    // Nobody can ask: the loops have no route to the subchannel.
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
      // Those that began before the last trouble are part of it.
      if lost.isReady || lost.began >= lastTrouble { pause(now, &random) }
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
    lastTrouble = now
    isCautious = true
    let (until, overflow) = now.addingReportingOverflow(backoff.next(using: &random))
    pausedUntil = overflow ? .max : until
  }

  private func loop(of id: UInt32) -> Int? { byLoop.first { $0.value.id == id }?.key }
}
