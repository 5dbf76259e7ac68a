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
  private let minInterval: Duration
  private var backoff: Backoff
  private var random = SystemRandom()
  private var task: Task<Void, Never>?
  /// Of the current run: reports of an earlier one are ignored.
  private var generation: UInt64 = 0
  private var isRunning = false
  private var isDone = false
  private var retry: LoopTimer?

  // State of refreshRequested()
  /// The channel has asked for a fresher result.
  private var wanted = false
  /// When `resolve` was called, or a refresh was granted, last.
  private var lastResolution: UInt64 = 0
  private var waiters: [UInt64: CheckedContinuation<Void, any Error>] = [:]
  private var minimumIntervalTimer: LoopTimer?

  /// When `resolve` is called again, while it waits; for diagnostics.
  var nextAttempt: UInt64? { retry?.isScheduled == true ? retry?.deadline : nil }

  init(_ controller: ChannelController, _ parts: ChannelParts) {
    self.controller = controller
    resolver = parts.resolver
    target = parts.target
    minInterval = parts.resolver.refreshInterval ?? parts.options.minResolutionInterval
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
    minimumIntervalTimer?.cancel()
    wanted = false
    backoff.reset()
    releaseWaiters(throwing: CancellationError())
  }

  func resetBackoff() {
    backoff.reset()
    guard nextAttempt != nil else { return }
    retry?.cancel()
    run()
  }

  // MARK: Runs

  private func run() {
    guard let context = controller.context else { return }
    generation += 1
    isRunning = true
    lastResolution = controller.controlLoop.now
    let generation = generation
    let session = ResolverSession(
      onReport: { [weak context] resolution in
        context?.onControlLoopLater { $0.resolver.reported(resolution, generation) }
      },
      onRefresh: { [weak context] in
        guard let context else { throw CancellationError() }
        try await ResolverRunner.refresh(context, generation)
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
    wanted = false
    controller.post(.core(.resolution(resolution)))
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
    wanted = true
    resolveDue()
  }

  private func resolveDue() {
    guard wanted, !waiters.isEmpty else { return }
    let due = lastResolution.adding(minInterval)
    guard due <= Clock.now() else {
      let timer =
        minimumIntervalTimer
        ?? LoopTimer(on: controller.controlLoop) { [weak self] in self?.resolveDue() }
      minimumIntervalTimer = timer
      if !timer.isScheduled { timer.schedule(at: due) }
      return
    }
    wanted = false
    lastResolution = Clock.now()
    releaseWaiters(throwing: nil)
  }

  private func releaseWaiters(throwing error: (any Error)?) {
    let released = waiters.values
    waiters = [:]
    for waiter in released {
      if let error { waiter.resume(throwing: error) } else { waiter.resume() }
    }
  }

  private func wait(
    _ key: UInt64, _ generation: UInt64, _ waiter: CheckedContinuation<Void, any Error>
  ) {
    guard generation == self.generation else { return waiter.resume(throwing: CancellationError()) }
    waiters[key] = waiter
    resolveDue()
  }

  /// Suspends a resolver until a refresh is due.
  private static func refresh(_ context: ChannelContext, _ generation: UInt64) async throws {
    let key = WaitKey()
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation {
        (waiter: CheckedContinuation<Void, any Error>) in
        context.onControlLoopLater { controller in
          if key.isCancelled { return waiter.resume(throwing: CancellationError()) }
          controller.resolver.wait(key.number, generation, waiter)
        }
      }
    } onCancel: {
      key.cancel()
      context.onControlLoopLater { controller in
        controller.resolver.waiters.removeValue(forKey: key.number)?.resume(
          throwing: CancellationError())
      }
    }
  }
}
