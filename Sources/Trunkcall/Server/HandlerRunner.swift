// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import DequeModule
internal import TrunkSockets

/// The tasks that run one method's handlers on one loop.
///
/// A task for every call costs as much as decoding its request. A runner takes one call after the
/// other, so that calls which arrive together and do not wait share one task:
/// ```
///   made, or resumed ──► handler ──► handler ──► … ──► nothing is due: parked ──► resumed
///                          │ waits: another runner goes on with the calls that are due
///                          │ its call was cancelled: the runner ends with it, as its task stays so
/// ```
/// Touched on the loop only. Nothing of a call outlives it in a runner: task-local values are bound
/// for the length of the handler, child tasks end before it.
final class HandlerRunners {
  let tasks: LoopTasks
  let meter: RunMeter
  // Outlives the tasks that are parked here.
  private let loop: EventLoop
  @exclusivity(unchecked) private var due = Deque<ServerStream>()
  @exclusivity(unchecked) private var parked: [HandlerRunner] = []
  @exclusivity(unchecked) private var isStarting = false

  /// Runners kept for later calls. More may run: as many as there are handlers that wait.
  static let spare = 64

  init(on loop: EventLoop, onHog: @escaping (_ nanoseconds: UInt64) -> Void) {
    self.loop = loop
    meter = RunMeter(onHog: onHog)
    tasks = LoopTasks(of: loop, meter: meter)
  }

  deinit {
    // Resumed without a home, they end.
    for runner in parked { runner.resume() }
  }

  /// The call's handler runs with the next ``start()``, if the connection still admits it then.
  /// - Returns: whether it is the first.
  func add(_ call: ServerStream) -> Bool {
    due.append(call)
    return due.count == 1
  }

  /// Runs what is due, each handler up to its end or its first wait. Not from within a handler.
  func start() {
    guard !isStarting else { return }
    isStarting = true
    while !due.isEmpty {
      if let runner = parked.popLast() {
        runner.home = self
        tasks.runNow { runner.resume() }
      } else {
        let runner = HandlerRunner(self)
        // From the loop itself, or its first part would run on another thread.
        loop.checkIsolated()
        meter.measure {
          runner.task = Task.immediate(executorPreference: tasks) { await runner.run() }
        }
      }
    }
    isStarting = false
  }

  /// - Parameter isFirst: of the run at hand, whose time is taken from its start.
  func next(isFirst: Bool) -> ServerStream? {
    while let call = due.popFirst() {
      guard call.connection.admits(call) else { continue }
      if !isFirst { meter.lap() }
      return call
    }
    return nil
  }

  /// - Returns: whether there is room for it.
  func park(_ runner: HandlerRunner) -> Bool {
    guard parked.count < HandlerRunners.spare else { return false }
    parked.append(runner)
    return true
  }

  var isHere: Bool { loop.isCurrent }
}

/// One of them.
///
/// `@unchecked Sendable`: touched on its loop; after the loop's end, by whoever runs what is left of
/// its task.
final class HandlerRunner: @unchecked Sendable {
  /// None while it is parked: whoever parks does not keep the server alive.
  @exclusivity(unchecked) var home: HandlerRunners?
  @exclusivity(unchecked) var task: Task<Void, Never>? {
    didSet { if isCancelled { task?.cancel() } }
  }
  @exclusivity(unchecked) private var isCancelled = false
  @exclusivity(unchecked) private var continuation: UnsafeContinuation<Void, Never>?

  init(_ home: HandlerRunners) { self.home = home }

  func run() async {
    repeat {
      var isFirst = true
      while !isCancelled, let call = home?.next(isFirst: isFirst) {
        isFirst = false
        call.runner = self
        await call.runHandler()
        call.runner = nil
        // The loop has ended under it, and its server with it.
        guard home?.isHere == true else { return }
      }
      if isCancelled { return }
    } while await park()
  }

  /// The call whose handler it runs is over.
  func cancel() {
    isCancelled = true
    task?.cancel()
  }

  func resume() {
    let waiting = continuation
    continuation = nil
    waiting?.resume()
  }

  /// - Returns: whether there is something to do again.
  @inline(never)
  private func park() async -> Bool {
    await withUnsafeContinuation { continuation in
      let home = home
      self.home = nil
      self.continuation = continuation
      if home?.park(self) != true { resume() }
    }
    return home != nil
  }
}
