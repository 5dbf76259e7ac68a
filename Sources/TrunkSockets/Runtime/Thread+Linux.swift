// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CTrunkLinux
internal import Glibc

typealias ThreadBody = @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer?

/// Starts a joinable thread with every signal blocked, so that signals reach the program's own
/// threads.
func spawnThread(
  _ body: ThreadBody, _ argument: UnsafeMutableRawPointer?, _ handle: inout pthread_t
) -> Bool {
  var all = sigset_t()
  var previous = sigset_t()
  sigfillset(&all)
  pthread_sigmask(SIG_SETMASK, &all, &previous)
  defer { pthread_sigmask(SIG_SETMASK, &previous, nil) }
  return pthread_create(&handle, nil, body, argument) == 0
}

/// Linux keeps 15 bytes of a thread's name.
func nameThread(_ name: String) {
  trunk_name_thread(String(name.prefix(15)))
}

extension ThreadUsage {
  static func now() -> ThreadUsage {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return ThreadUsage(
      cpu: UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec),
      voluntarySwitches: trunk_thread_voluntary_switches())
  }

  /// Nanoseconds that the calling thread was ready to run and had no processor; nil if the kernel
  /// does not tell. The second figure of `schedstat` (Linux,
  /// Documentation/scheduler/sched-stats.rst).
  static func runQueueWait() -> UInt64? {
    let file = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    return withUnsafeTemporaryAllocation(byteCount: 96, alignment: 1) { buffer in
      let count = read(file, buffer.baseAddress, buffer.count)
      guard count > 0 else { return nil }
      let fields = buffer[..<count].split(separator: UInt8(ascii: " "))
      guard fields.count == 3 else { return nil }
      return fields[1].reduce(into: UInt64?(0)) { sum, digit in
        sum = sum.flatMap { digit &- 48 < 10 ? $0 &* 10 &+ UInt64(digit &- 48) : nil }
      }
    }
  }
}
