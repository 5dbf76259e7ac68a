// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import DequeModule
internal import TrunkSockets

/// The tasks that run one method's handlers on one loop.
///
/// A task for every call costs as much as decoding its request. So a task of the pool runs one call
/// after the other, and calls that arrive together and do not wait share one:
/// ```
///   made, or resumed ──► handler ──► handler ──► … ──► no call is due: parked ──► resumed
///                          │ the handler waits: another task runs the calls that are due
///                          │ the task was cancelled, or its priority raised: it ends with the handler
/// ```
/// Nothing of a call outlives it in its task. Cancellation and priority stay with a task, so one
/// that was given either serves no other call. Task-local values, executor preferences,
/// cancellation handlers and child tasks end with a scope of the handler's.
///
/// `@unchecked Sendable`: touched on its loop; after the loop's end, by whoever runs what is left
/// of its tasks.
final class HandlerTaskPool: @unchecked Sendable {
  let tasks: LoopTasks
  let meter: RunMeter
  // Outlives the tasks that are parked here.
  private let loop: EventLoop
  private let stop: StopSignal
  /// Calls whose handlers start with the next ``start()``, if the scheduler admits them then.
  @exclusivity(unchecked) var due = Deque<ServerStream>()
  /// Tasks that wait for a call, or for the end.
  @exclusivity(unchecked) private var parked: [UnsafeContinuation<ServerStream?, Never>] = []
  @exclusivity(unchecked) private var isStarting = false

  /// Parked tasks kept for later calls. More may run: as many as there are handlers that wait.
  static let spare = 64

  init(
    on loop: EventLoop, _ stop: StopSignal, watchesHogs: Bool,
    onHog: @escaping (_ nanoseconds: UInt64) -> Void
  ) {
    self.loop = loop
    self.stop = stop
    meter = RunMeter(isWatching: watchesHogs, onHog: onHog)
    tasks = LoopTasks(of: loop, meter: meter)
  }

  deinit {
    for poolTask in parked { poolTask.resume(returning: nil) }
  }

  /// Runs what is due, each handler up to its end or its first wait. Not from within a handler.
  func start() {
    guard !isStarting else { return }
    isStarting = true
    while let call = next(isFirst: true) {
      if let poolTask = parked.popLast() {
        tasks.runNow { poolTask.resume(returning: call) }
      } else {
        // From the loop itself, or its first part would run on another thread.
        loop.checkIsolated()
        // Not captured as they are: a task keeps what its closure holds until its own end.
        let first = Unmanaged.passRetained(call)
        let pool = Unmanaged.passUnretained(self)
        meter.measure {
          stop.bind {
            _ = Task.immediate(executorPreference: tasks) { await HandlerTaskPool.run(first, pool) }
          }
        }
      }
    }
    isStarting = false
  }

  // A parked task holds no call, hence no connection, no server, and not the pool. As long as it
  // has a call, that keeps its method's pool: `pool` is valid.
  private static func run(
    _ first: Unmanaged<ServerStream>, _ pool: Unmanaged<HandlerTaskPool>
  ) async {
    guard let task = withUnsafeCurrentTask(body: { $0.map { BorrowedTask($0) } }) else { return }
    let priority = task.priority
    var call: ServerStream? = first.takeRetainedValue()
    while true {
      do {
        guard let call else { return }
        call.poolTask = task
        await call.runOnLoop()
        call.poolTask = nil
        // The loop has ended under it, and its server with it.
        guard pool._withUnsafeGuaranteedRef({ $0.loop.isCurrent }) else { return }
        // What the call's end or its handler did to the task would reach the next call.
        if task.isChanged(from: priority) { return }
      }
      if let next = pool._withUnsafeGuaranteedRef({ $0.next(isFirst: false) }) {
        call = next
      } else {
        await park(&call, pool)
      }
    }
  }

  /// Returns with a call when there is something to do again.
  @inline(never)
  private static func park(
    _ call: inout ServerStream?, _ pool: Unmanaged<HandlerTaskPool>
  ) async {
    call = await withUnsafeContinuation { continuation in
      let taskPool = pool.takeUnretainedValue()
      call = nil
      if taskPool.parked.count < spare {
        taskPool.parked.append(continuation)
      } else {
        continuation.resume(returning: nil)
      }
    }
  }

  /// - Parameter isFirst: of the run at hand, whose time is taken from its start.
  private func next(isFirst: Bool) -> ServerStream? {
    while let call = due.popFirst() {
      guard call.connection.context.scheduler.admits(call) else { continue }
      if call.runsOnPool {
        call.startOnPool()
        continue
      }
      if !isFirst { meter.lap() }
      return call
    }
    return nil
  }
}

/// A task that is there for as long as this is used, in one word: `UnsafeCurrentTask` is one as
/// well, but of a layout that only the runtime knows, so that storing one costs several calls.
struct BorrowedTask {
  private let pointer: UnsafeRawPointer

  init(_ task: UnsafeCurrentTask) { pointer = unsafeBitCast(task, to: UnsafeRawPointer.self) }

  /// Cancelled, or of another priority than it began with.
  // Not inlined: in an async function its values of unknown layout would be the task's allocations.
  @inline(never)
  func isChanged(from priority: UInt8) -> Bool {
    let task = unsafeBitCast(pointer, to: UnsafeCurrentTask.self)
    return task.isCancelled || task.priority.rawValue != priority
  }
  var priority: UInt8 { unsafeBitCast(pointer, to: UnsafeCurrentTask.self).priority.rawValue }

  /// Also from outside of the task.
  func cancel() { unsafeBitCast(pointer, to: UnsafeCurrentTask.self).cancel() }
}
