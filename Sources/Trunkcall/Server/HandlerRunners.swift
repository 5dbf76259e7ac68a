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
/// Nothing of a call outlives it in a runner: task-local values are bound for the length of the handler,
/// child tasks end before it.
///
/// `@unchecked Sendable`: touched on its loop; after the loop's end, by whoever runs what is left of
/// its tasks.
final class HandlerRunners: @unchecked Sendable {
  let tasks: LoopTasks
  let meter: RunMeter
  // Outlives the tasks that are parked here.
  private let loop: EventLoop
  @exclusivity(unchecked) private var due = Deque<ServerStream>()
  /// Tasks that wait for something to do, which comes with a home, or for the end.
  @exclusivity(unchecked) private var parked: [UnsafeContinuation<HandlerRunners?, Never>] = []
  @exclusivity(unchecked) private var isStarting = false

  /// Runners kept for later calls. More may run: as many as there are handlers that wait.
  static let spare = 64

  init(on loop: EventLoop, onHog: @escaping (_ nanoseconds: UInt64) -> Void) {
    self.loop = loop
    meter = RunMeter(onHog: onHog)
    tasks = LoopTasks(of: loop, meter: meter)
  }

  deinit {
    for runner in parked { runner.resume(returning: nil) }
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
        tasks.runNow { runner.resume(returning: self) }
      } else {
        // From the loop itself, or its first part would run on another thread.
        loop.checkIsolated()
        meter.measure {
          // Unowned, as it would keep a parked task's server alive: the first part runs before
          // `immediate` returns, and what the task needs then is its own.
          _ = Task.immediate(executorPreference: tasks) { [unowned(unsafe) self] in
            await HandlerRunners.run(self)
          }
        }
      }
    }
    isStarting = false
  }

  private static func run(_ first: HandlerRunners) async {
    var home: HandlerRunners? = first
    let task = withUnsafeCurrentTask { $0.map { BorrowedTask($0) } }
    repeat {
      var isFirst = true
      while let call = home?.next(isFirst: isFirst) {
        isFirst = false
        call.runner = task
        await call.runHandler()
        call.runner = nil
        // The loop has ended under it, and its server with it.
        guard home?.isHere == true else { return }
        // A call that was cancelled has left its mark on the task.
        if call.handlerCancelled { return }
      }
      await park(&home)
    } while home != nil
  }

  /// Returns with a home when there is something to do again.
  @inline(never)
  private static func park(_ home: inout HandlerRunners?) async {
    home = await withUnsafeContinuation { continuation in
      // While it waits it has none.
      let place = home
      home = nil
      if let place, place.parked.count < spare {
        place.parked.append(continuation)
      } else {
        continuation.resume(returning: nil)
      }
    }
  }

  /// - Parameter isFirst: of the run at hand, whose time is taken from its start.
  private func next(isFirst: Bool) -> ServerStream? {
    while let call = due.popFirst() {
      guard call.connection.admits(call) else { continue }
      if !isFirst { meter.lap() }
      return call
    }
    return nil
  }

  private var isHere: Bool { loop.isCurrent }
}

/// A task that is there for as long as this is used, in one word: `UnsafeCurrentTask` is one as well, but
/// of a layout that only the runtime knows, so that storing one costs several calls.
struct BorrowedTask {
  private let pointer: UnsafeRawPointer

  init(_ task: UnsafeCurrentTask) { pointer = unsafeBitCast(task, to: UnsafeRawPointer.self) }

  /// Also from outside of the task.
  func cancel() { unsafeBitCast(pointer, to: UnsafeCurrentTask.self).cancel() }
}
