// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Carries a value that belongs to a loop through places that any thread can reach; only the loop
/// may read it.
///
/// `@unchecked Sendable`: the getter requires the loop's thread.
package struct LoopBound<Value>: @unchecked Sendable {
  package let loop: EventLoop
  private let stored: Value

  package init(_ value: Value, on loop: EventLoop) {
    stored = value
    self.loop = loop
  }

  package var value: Value {
    loop.checkIsolated()
    return stored
  }
}
