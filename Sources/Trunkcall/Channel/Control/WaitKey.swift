// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Synchronization

/// Names one wait on the control loop. A wait that was cancelled before it was registered there
/// finds the flag.
final class WaitKey: Sendable {
  private static let last = Atomic<UInt64>(0)
  private let flag = Atomic<Bool>(false)

  let number = WaitKey.last.wrappingAdd(1, ordering: .relaxed).newValue

  var isCancelled: Bool { flag.load(ordering: .acquiring) }
  func cancel() { flag.store(true, ordering: .releasing) }
}
