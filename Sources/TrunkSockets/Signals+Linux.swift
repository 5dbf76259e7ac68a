// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CTrunkLinux
internal import Glibc
internal import Synchronization

/// Waits for SIGINT and SIGTERM.
package enum TerminationSignals {
  // Written by the handler (async-signal-safe: an atomic and a write to an eventfd).
  private static let descriptor = Atomic<Int32>(-1)

  /// Suspends until the process is asked to stop; returns the signal. The second signal of the same
  /// kind ends the process as if nobody listened.
  /// - Throws: `CancellationError`, or `SocketError` when the handlers cannot be set up.
  package static func wait() async throws -> Int32 {
    let fd = eventfd(0, Int32(EFD_CLOEXEC.rawValue | EFD_NONBLOCK.rawValue))
    if fd < 0 { throw SocketError("eventfd") }
    descriptor.store(fd, ordering: .sequentiallyConsistent)
    defer {
      descriptor.store(-1, ordering: .sequentiallyConsistent)
      Socket.close(fd)
    }
    for number in [SIGINT, SIGTERM] { install(number) }
    while true {
      var value: UInt64 = 0
      if read(fd, &value, 8) == 8 { return value >= 1 << 32 ? SIGTERM : SIGINT }
      try await Task.sleep(for: .milliseconds(20))
    }
  }

  private static func install(_ number: Int32) {
    var action = sigaction()
    action.__sigaction_handler.sa_handler = { number in
      var value: UInt64 = number == SIGTERM ? 1 << 32 : 1
      let fd = TerminationSignals.descriptor.load(ordering: .sequentiallyConsistent)
      if fd >= 0 { _ = Glibc.write(fd, &value, 8) }
    }
    // The default disposition comes back after the first one.
    action.sa_flags = Int32(bitPattern: UInt32(SA_RESETHAND))
    sigaction(number, &action, nil)
  }
}
