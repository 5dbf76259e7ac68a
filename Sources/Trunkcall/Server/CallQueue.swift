// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

internal import DequeModule

/// Calls of one connection that wait for their handlers' start, in the order they came. Those that
/// end before leave a hole. Loop-bound.
struct CallQueue {
  private var calls = Deque<ServerStream>()
  private(set) var count = 0
  /// Bytes of the requests that wait with them.
  private(set) var bytes = 0

  var isEmpty: Bool { count == 0 }

  mutating func append(_ call: ServerStream, bytes size: Int) {
    // Holes are bounded: calls that a client resets while they wait take no lasting memory.
    if calls.count > 2 * count + 16 { calls.removeAll { !$0.isWaiting } }
    call.isWaiting = true
    calls.append(call)
    count += 1
    bytes += size
  }

  mutating func popFirst() -> ServerStream? {
    while let call = calls.popFirst() {
      guard call.isWaiting else { continue }
      remove(call)
      return call
    }
    return nil
  }

  /// The call has ended, or starts.
  mutating func remove(_ call: ServerStream) {
    guard call.isWaiting else { return }
    call.isWaiting = false
    count -= 1
    bytes -= call.payloadSize
    if count == 0 { calls.removeAll() }
  }
}
