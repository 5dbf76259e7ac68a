// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CTrunkLinux
internal import Synchronization

/// Gives memory that nobody uses back to the system. glibc keeps what was freed for the next
/// allocation of the same thread: after ten thousand connections have gone that is a hundred
/// megabytes.
package enum FreeMemory {
  private static let isDue = Atomic<Bool>(false)
  /// What has just been closed should be freed by then; and at most so often.
  private static let delay: Duration = .seconds(1)

  /// Returns at once; a helper thread does it a little later, once for all who asked meanwhile.
  package static func giveBackSoon() {
    guard !isDue.exchange(true, ordering: .relaxed) else { return }
    Task.detached {
      try? await Task.sleep(for: delay)
      isDue.store(false, ordering: .relaxed)
      _ = try? await BlockingWork.run(timeout: .seconds(30), "trimming memory") {
        trunk_trim_memory()
      }
    }
  }
}
