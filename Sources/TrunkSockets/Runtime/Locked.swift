// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
package import Synchronization

/// A `Mutex` whose order is visible to the thread sanitizer.
///
/// Under contention the toolchain's `Mutex` takes its lock in the runtime, which is not built with
/// the sanitizer: it then reports every value that passes through the lock as a race. So
/// ``sanitizerFence``, an atomic that it knows, is accessed under the lock. That costs a plain load
/// and two plain stores, and has a second use: ``isHeld``.
package struct Locked<Value: Sendable & ~Copyable>: ~Copyable, Sendable {
  @usableFromInline let mutex: Mutex<Value>
  @usableFromInline let sanitizerFence = Atomic<UInt8>(0)

  @inlinable package init(_ value: consuming Value) { mutex = Mutex(value) }

  /// Whether the lock is held at this moment: a hint, for counting.
  @inlinable package var isHeld: Bool { sanitizerFence.load(ordering: .relaxed) != 0 }

  @inlinable package borrowing func withLock<R: Sendable, E: Error>(
    _ body: (inout Value) throws(E) -> R
  ) throws(E) -> R {
    try mutex.withLock { (value: inout Value) throws(E) -> R in
      _ = sanitizerFence.load(ordering: .acquiring)
      sanitizerFence.store(1, ordering: .relaxed)
      defer { sanitizerFence.store(0, ordering: .releasing) }
      return try body(&value)
    }
  }
}
