// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CTrunkLinux
internal import Synchronization

/// Returns unused memory to the system. glibc keeps freed memory for the next allocation of the
/// same thread: after ten thousand closed connections that is a hundred megabytes.
package enum FreeMemory {
  private static let isDue = Atomic<Bool>(false)
  private static let isSet = Atomic<Bool>(false)
  /// Objects just closed should be freed by then; also the least time between two trims.
  private static let delay: Duration = .seconds(1)

  /// Lets the process keep up to `bytes` of freed memory at each heap's end, and allocate large
  /// blocks from there. By default glibc returns every large message's memory as soon as it is
  /// freed, and the next one has page faults again. Process-wide; the first caller decides, and
  /// `MALLOC_…` or `GLIBC_TUNABLES` in the environment win.
  package static func keep(_ bytes: Int) {
    guard !isSet.exchange(true, ordering: .relaxed) else { return }
    trunk_keep_memory(max(0, bytes))
  }

  /// Returns at once; a helper thread does it after ``delay``, once for all calls in that time.
  package static func trimSoon() {
    guard !isDue.exchange(true, ordering: .relaxed) else { return }
    Task.detached {
      try? await Task.sleep(for: delay)
      isDue.store(false, ordering: .relaxed)
      _ = try? await BlockingWork.files.run(timeout: .seconds(30), "trimming memory") {
        trunk_trim_memory()
      }
    }
  }
}
