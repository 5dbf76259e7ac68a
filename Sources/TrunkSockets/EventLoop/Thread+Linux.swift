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
}
