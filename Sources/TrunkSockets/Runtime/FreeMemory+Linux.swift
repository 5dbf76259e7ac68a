// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CTrunkLinux
internal import Synchronization

/// Gives memory that nobody uses back to the system. glibc keeps what was freed for the next
/// allocation of the same thread: after ten thousand connections have gone that is a hundred
/// megabytes.
package enum FreeMemory {
  private static let isDue = Atomic<Bool>(false)
  private static let isSet = Atomic<Bool>(false)
  /// What has just been closed should be freed by then; and at most so often.
  private static let delay: Duration = .seconds(1)

  /// Lets the process keep up to `bytes` of freed memory at each heap's end, and take large blocks
  /// from there. Left alone, glibc gives every large message's memory back as soon as it is freed,
  /// and the next one pays for its pages anew. Process-wide; the first caller decides, and who has
  /// set `MALLOC_…` or `GLIBC_TUNABLES` in the environment has decided already.
  package static func keep(_ bytes: Int) {
    guard !isSet.exchange(true, ordering: .relaxed) else { return }
    trunk_keep_memory(max(0, bytes))
  }

  /// Returns at once; a helper thread does it a little later, once for all who asked meanwhile.
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
