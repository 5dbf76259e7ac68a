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
/// that was cancelled or raised serves no other call. Task-local values, executor preferences,
/// cancellation handlers and child tasks end with a scope of the handler's.
///
/// `@unchecked Sendable`: accessed on its loop; after the loop's end, by the thread that runs the
/// jobs which are left.
final class HandlerTaskPool: @unchecked Sendable {
  /// The executor of its tasks: the loop, with the method's meter.
  let tasks: LoopTasks
  let meter: RunMeter
  // Strong: it outlives the tasks that are parked here.
  private let loop: EventLoop
  private let stop: StopSignal
  /// Calls whose handlers start with the next ``start()``, if the scheduler admits them then.
  @exclusivity(unchecked) var due = Deque<ServerStream>()
  /// Tasks that wait for a call, or for the end.
  @exclusivity(unchecked) private var parked: [UnsafeContinuation<ServerStream?, Never>] = []
  /// ``start()`` is running.
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

  /// Runs the calls that are due, each handler up to its end or its first wait. Must not be called
  /// inside a handler.
  func start() {
    guard !isStarting else { return }
    isStarting = true
    while let call = next(isFirst: true) {
      if let poolTask = parked.popLast() {
        tasks.runNow { poolTask.resume(returning: call) }
      } else {
        // An immediate task runs its first part on the caller's thread, which must be the loop's.
        loop.checkIsolated()
        // Unmanaged: a task keeps what its closure captures until its own end.
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
        // The loop has ended while the handler ran, and the server with it.
        guard pool._withUnsafeGuaranteedRef({ $0.loop.isCurrent }) else { return }
        // A cancellation or a raised priority would affect the next call.
        if task.isChanged(from: priority) { return }
      }
      if let next = pool._withUnsafeGuaranteedRef({ $0.next(isFirst: false) }) {
        call = next
      } else {
        await park(&call, pool)
      }
    }
  }

  /// Suspends the task until ``start()`` has a call for it. Without a call the task has to end: more
  /// than ``spare`` are parked, or the pool is released.
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

  /// The next due call that the scheduler admits, and that runs on the loop; those of methods that
  /// were moved start on the global pool.
  /// - Parameter isFirst: its time is measured from the start of the run (``RunMeter/measure(_:)``),
  ///   that of a further one from the end of the one before.
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

/// A reference to a task, valid while the task runs, in one word. `UnsafeCurrentTask` has one word as
/// well, but its layout is known at run time only, so that storing one costs several calls.
struct BorrowedTask {
  private let pointer: UnsafeRawPointer

  init(_ task: UnsafeCurrentTask) { pointer = unsafeBitCast(task, to: UnsafeRawPointer.self) }

  /// Whether it was cancelled, or its priority is another than the one it began with.
  // Not inlined: an async function allocates values of unknown layout on the task's heap.
  @inline(never)
  func isChanged(from priority: UInt8) -> Bool {
    let task = unsafeBitCast(pointer, to: UnsafeCurrentTask.self)
    return task.isCancelled || task.priority.rawValue != priority
  }
  var priority: UInt8 { unsafeBitCast(pointer, to: UnsafeCurrentTask.self).priority.rawValue }

  /// From any thread.
  func cancel() { unsafeBitCast(pointer, to: UnsafeCurrentTask.self).cancel() }
}
