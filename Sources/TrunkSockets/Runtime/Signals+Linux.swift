// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CTrunkLinux
internal import Glibc
internal import Synchronization

/// Waits for SIGINT and SIGTERM.
package enum TerminationSignals {
  // Read by the signal handler, which may only use an atomic and `write`.
  private static let descriptor = Atomic<Int32>(-1)

  /// Suspends until the process gets SIGINT or SIGTERM; returns the signal's number. A second
  /// signal has the default effect, which ends the process. One waiter at a time.
  /// - Throws: `CancellationError`, or `SocketError` when there is no descriptor left.
  package static func wait() async throws -> Int32 {
    let loop = EventLoopGroup.shared.next()
    let watch = SignalWatch()
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        loop.run { watch.begin(loop, continuation) }
      }
    } onCancel: {
      loop.later { watch.finish(.failure(CancellationError())) }
    }
  }

  fileprivate static func publish(_ fd: Int32) {
    descriptor.store(fd, ordering: .sequentiallyConsistent)
  }

  /// Returns the former action.
  fileprivate static func install(_ number: Int32) -> sigaction {
    var action = sigaction()
    action.__sigaction_handler.sa_handler = { number in
      var value = UInt64(number)
      let fd = TerminationSignals.descriptor.load(ordering: .sequentiallyConsistent)
      if fd >= 0 { _ = Glibc.write(fd, &value, 8) }
    }
    // The default disposition is restored after the first signal.
    action.sa_flags = Int32(bitPattern: UInt32(SA_RESETHAND))
    var previous = sigaction()
    sigaction(number, &action, &previous)
    return previous
  }
}

/// An eventfd that the handler writes the signal's number to.
///
/// `@unchecked Sendable`: accessed on its loop only.
private final class SignalWatch: ReadinessHandler, @unchecked Sendable {
  private var loop: EventLoop?
  private var fd: Int32 = -1
  private var token: Poller.Token?
  private var continuation: CheckedContinuation<Int32, any Error>?
  private var isFinished = false
  private var previous: [(number: Int32, action: sigaction)] = []

  func begin(_ loop: EventLoop, _ continuation: CheckedContinuation<Int32, any Error>) {
    if isFinished { return continuation.resume(throwing: CancellationError()) }
    self.loop = loop
    self.continuation = continuation
    fd = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
    do {
      if fd < 0 { throw SocketError("eventfd") }
      token = try loop.poller.add(fd, .read, self)
    } catch { return finish(.failure(error)) }
    TerminationSignals.publish(fd)
    previous = [SIGINT, SIGTERM].map { ($0, TerminationSignals.install($0)) }
  }

  func ready(_ readiness: Readiness) {
    var value: UInt64 = 0
    guard read(fd, &value, 8) == 8 else { return }
    finish(.success(Int32(truncatingIfNeeded: value)))
  }

  func finish(_ result: Result<Int32, any Error>) {
    isFinished = true
    guard let continuation else { return }
    self.continuation = nil
    for (number, action) in previous {
      var action = action
      sigaction(number, &action, nil)
    }
    previous = []
    TerminationSignals.publish(-1)
    if let token { loop?.poller.remove(fd, token) }
    if fd >= 0 { Socket.close(fd) }
    continuation.resume(with: result)
  }
}
