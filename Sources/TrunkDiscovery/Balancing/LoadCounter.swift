// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Synchronization

/// Counts one subchannel's calls in flight, for policies that choose by load.
///
/// The loops of the subchannel's connections write it, pickers on any loop read it; a reader may be
/// a few calls behind.
public final class LoadCounter: CallObserver, Hashable {
  private let count = Atomic<Int>(0)

  /// Starts at 0.
  public init() {}

  /// Calls that were sent and have not ended.
  public var callsInFlight: Int { count.load(ordering: .relaxed) }

  /// One more.
  public func callBegan(at time: UInt64) { count.wrappingAdd(1, ordering: .relaxed) }
  /// One less.
  public func callEnded(_ outcome: CallOutcome) { count.wrappingSubtract(1, ordering: .relaxed) }

  /// Two counters are equal if they are the same one.
  public static func == (a: LoadCounter, b: LoadCounter) -> Bool { a === b }
  public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}
