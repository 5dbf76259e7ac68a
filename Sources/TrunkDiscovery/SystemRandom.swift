// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The system's randomness for functions that take a generator `inout`.
///
/// Not `SystemRandomNumberGenerator` itself: it has no size, and builds for the thread sanitizer
/// crash on an `inout` of such a value in async code (Swift 6.3).
package struct SystemRandom: RandomNumberGenerator, Sendable {
  private var drawn: UInt64 = 0
  package init() {}
  package mutating func next() -> UInt64 {
    drawn &+= 1
    var system = SystemRandomNumberGenerator()
    return system.next()
  }
}
