// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CTrunkLinux
internal import Glibc

/// Ends a loop's wait from another thread.
final class Wakeup: ReadinessHandler, Sendable {
  private let descriptor: Int32

  init() throws(SocketError) {
    descriptor = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
    if descriptor < 0 { throw SocketError("eventfd") }
  }

  func install(in poller: inout Poller) throws(SocketError) {
    _ = try poller.add(descriptor, .read, self)
  }

  /// Safe from any thread, and from a signal handler.
  func signal() {
    var one: UInt64 = 1
    _ = write(descriptor, &one, 8)
  }

  func ready(_ readiness: Readiness) {
    var count: UInt64 = 0
    _ = read(descriptor, &count, 8)
  }

  // Not at the loop's end: a thread that pushed a job just before may be about to signal.
  deinit { _ = Glibc.close(descriptor) }
}
