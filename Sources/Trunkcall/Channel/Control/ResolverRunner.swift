// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery
internal import TrunkSockets

/// Runs the resolver of a channel: as long as the channel is in use, again after a failure with
/// backoff, and never more often than allowed. Control loop only; `resolve` itself runs on the
/// global pool.
///
/// ```
///   stopped ── start() ─► running ── threw ─► waiting ── backoff over, resetBackoff() ─► running
///                            └── returned: done, the last snapshot stays in force
/// ```
final class ResolverRunner {
  private unowned let controller: ChannelController
  private let resolver: any Resolver
  private let target: Target
  private var backoff: Backoff
  private var random = SystemRandom()
  private var task: Task<Void, Never>?
  /// Of the current run: reports of an earlier one are ignored.
  private var generation: UInt64 = 0
  private var isRunning = false
  private var isDone = false
  private var retry: LoopTimer?

  // State of refreshRequested()
  private struct Waiter {
    let continuation: CheckedContinuation<Void, any Error>
    let since: UInt64
    let age: Duration?
  }
  private var schedule: RefreshSchedule
  private var waiters: [UInt64: Waiter] = [:]
  private var refreshTimer: LoopTimer?

  /// When `resolve` is called again, while it waits; for diagnostics.
  var nextAttempt: UInt64? { retry?.isScheduled == true ? retry?.deadline : nil }

  init(_ controller: ChannelController, _ parts: ChannelParts) {
    self.controller = controller
    resolver = parts.resolver
    target = parts.target
    schedule = RefreshSchedule(
      own: parts.resolver.refreshInterval, requests: parts.options.minResolutionInterval)
    backoff = parts.options.backoff.value
  }

  func start() {
    guard !isRunning, !isDone, nextAttempt == nil else { return }
    run()
  }

  func stop() {
    generation += 1
    isRunning = false
    isDone = false
    task?.cancel()
    task = nil
    retry?.cancel()
    refreshTimer?.cancel()
    schedule.reported()
    backoff.reset()
    releaseWaiters(throwing: CancellationError())
  }

  func resetBackoff() {
    backoff.reset()
    // A resolver that runs may be in a back-off of its own.
    guard nextAttempt != nil else { return resolveAgain() }
    retry?.cancel()
    run()
  }

  // MARK: Runs

  private func run() {
    guard let context = controller.context else { return }
    generation += 1
    isRunning = true
    schedule.began(at: controller.controlLoop.now)
    let generation = generation
    let session = ResolverSession(
      onReport: { [weak context] resolution in
        context?.onControlLoopLater { $0.resolver.reported(resolution, generation) }
      },
      onFailure: { [weak context] note in
        context?.onControlLoopLater { $0.resolver.failed(note, generation) }
      },
      onRefreshWithin: { [weak context] age in
        guard let context else { throw CancellationError() }
        try await ResolverRunner.refresh(context, generation, age)
      })
    let resolver = resolver
    let target = target
    task = Task { [weak context] in
      var failure: String?
      do {
        try await resolver.resolve(target, session)
      } catch {
        failure = "\(error)"
      }
      context?.onControlLoopLater { [failure] in $0.resolver.ended(failure, generation) }
    }
  }

  private func reported(_ resolution: Resolution, _ generation: UInt64) {
    guard generation == self.generation else { return }
    backoff.reset()
    schedule.reported()
    controller.post(.core(.resolution(resolution)))
  }

  /// The resolver goes on by itself.
  private func failed(_ note: String, _ generation: UInt64) {
    guard generation == self.generation else { return }
    controller.post(.core(.resolutionFailed(note: note)))
  }

  private func ended(_ failure: String?, _ generation: UInt64) {
    guard generation == self.generation else { return }
    isRunning = false
    task = nil
    guard let failure else {
      isDone = true
      return
    }
    let delay = backoff.next(using: &random)
    let timer = retry ?? LoopTimer(on: controller.controlLoop) { [weak self] in self?.run() }
    retry = timer
    timer.schedule(at: Clock.now().adding(.nanoseconds(Int64(clamping: delay))))
    controller.post(.core(.resolutionFailed(note: failure)))
  }

  // MARK: Refreshing

  /// The channel asks for a fresher result.
  func resolveAgain() {
    schedule.request()
    releaseDue()
  }

  private func releaseDue() {
    guard !waiters.isEmpty else { return }
    let now = Clock.now()
    var next = UInt64.max
    var due: [Waiter] = []
    for (key, waiter) in waiters {
      guard let time = schedule.due(waitingSince: waiter.since, age: waiter.age) else { continue }
      guard time <= now else {
        next = min(next, time)
        continue
      }
      waiters[key] = nil
      due.append(waiter)
    }
    if !due.isEmpty { schedule.began(at: now) }
    for waiter in due { waiter.continuation.resume() }
    guard next < .max else { return }
    let timer =
      refreshTimer
      ?? LoopTimer(on: controller.controlLoop) { [weak self] in self?.releaseDue() }
    refreshTimer = timer
    timer.schedule(at: next)
  }

  private func releaseWaiters(throwing error: any Error) {
    let released = waiters.values
    waiters = [:]
    for waiter in released {
      waiter.continuation.resume(throwing: error)
    }
  }

  private func wait(_ key: UInt64, _ generation: UInt64, _ waiter: Waiter) {
    guard generation == self.generation else {
      return waiter.continuation.resume(throwing: CancellationError())
    }
    waiters[key] = waiter
    releaseDue()
  }

  /// Suspends a resolver until a refresh is due.
  private static func refresh(
    _ context: ChannelContext, _ generation: UInt64, _ age: Duration?
  ) async throws {
    let key = WaitKey()
    let start = Clock.now()
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation {
        (waiter: CheckedContinuation<Void, any Error>) in
        context.onControlLoopLater { controller in
          if key.isCancelled { return waiter.resume(throwing: CancellationError()) }
          controller.resolver.wait(
            key.number, generation, Waiter(continuation: waiter, since: start, age: age))
        }
      }
    } onCancel: {
      key.cancel()
      context.onControlLoopLater { controller in
        controller.resolver.waiters.removeValue(forKey: key.number)?
          .continuation.resume(throwing: CancellationError())
      }
    }
  }
}
