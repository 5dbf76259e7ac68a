// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CTrunkLinux
internal import Glibc
internal import Synchronization

/// One OS thread that owns descriptors, timers and jobs. Everything it owns stays on it.
///
/// One tick:
/// ```
///   run jobs -> flush dirty connections -> epoll_wait -> readiness events -> timers
/// ```
/// The loop has two executors for Swift concurrency: it is a `SerialExecutor` (isolation), and
/// ``tasks`` is a `TaskExecutor` (where nonisolated code of a task runs). They are two objects
/// because a task's job has to be run with `runSynchronously(on:)` of its own task executor; else
/// every nonisolated call is enqueued anew.
///
/// `@unchecked Sendable`: what is not `let`, atomic or guarded by `inbox`'s lock is accessed only
/// by the loop's own thread.
package final class EventLoop: SerialExecutor, @unchecked Sendable {
  enum Job: Sendable {
    case task(UnownedJob, LoopTasks)
    case serial(UnownedJob)
    case block(@Sendable () -> Void)
  }

  /// Runs jobs of tasks that prefer this loop.
  package let tasks: LoopTasks
  package let counters = LoopCounters()
  /// Nanoseconds of `CLOCK_MONOTONIC`, read once a tick.
  @exclusivity(unchecked) private var tickTime: UInt64 = Clock.now()
  /// The same for callers of other modules, where `unchecked` has no effect (decision 10).
  package var now: UInt64 { tickTime }
  /// The buffer for received bytes before they are parsed; valid during a readiness event only.
  let receiveBuffer: UnsafeMutableRawBufferPointer
  /// Bytes for one `send`.
  @exclusivity(unchecked) var sendBuffer = OutputBuffer()
  /// The same before it is encrypted.
  @exclusivity(unchecked) var plainSendBuffer = OutputBuffer()
  /// Received bytes after they were decrypted.
  let plainReceiveBuffer: UnsafeMutableRawBufferPointer
  @exclusivity(unchecked) var poller: Poller
  @exclusivity(unchecked) var timers = TimerQueue()

  private let name: String
  let inbox = Locked<[Job]>([])
  private let sleeping = Atomic<Bool>(false)
  private let stopping = Atomic<Bool>(false)
  private let thread = Atomic<UInt>(0)
  /// The loop's thread has ended; before it begins there is 0.
  private static let noThread = UInt.max
  private let wakeup: Wakeup
  @exclusivity(unchecked) private var busyPoll: BusyPoll
  @exclusivity(unchecked) private var local: [Job] = []
  @exclusivity(unchecked) private var batch: [Job] = []
  @exclusivity(unchecked) private var dirty: [any Flushable] = []
  @exclusivity(unchecked) private var handle = pthread_t()

  /// Bytes that one `recv` can take.
  static let receiveBufferSize = 64 * 1024
  /// One record of TLS (RFC 8446 §5.1).
  static let plainReceiveBufferSize = 16 * 1024
  /// Rounds of jobs before the loop polls its descriptors again.
  private static let roundsPerTick = 16
  /// Times that it runs jobs and sends, as sending may lead to new jobs, before it polls.
  private static let roundsWithoutPoll = 4

  /// - Parameter busyPoll: how long a loop that has been busy polls before it blocks; default: not at
  ///   all.
  package init(name: String = "trunk-loop", busyPoll: Duration = .zero) throws(SocketError) {
    self.name = name
    self.busyPoll = BusyPoll(limit: UInt64(max(0, busyPoll.nanoseconds)))
    wakeup = try Wakeup()
    poller = try Poller()
    receiveBuffer = .allocate(byteCount: EventLoop.receiveBufferSize, alignment: 16)
    plainReceiveBuffer = .allocate(byteCount: EventLoop.plainReceiveBufferSize, alignment: 16)
    tasks = LoopTasks()
    tasks.attach(self)
    do throws(SocketError) {
      try wakeup.install(in: &poller)
      try startThread()
    } catch {
      poller.close()
      throw error
    }
  }

  deinit {
    receiveBuffer.deallocate()
    plainReceiveBuffer.deallocate()
  }

  // MARK: Isolation

  /// Whether the caller runs on this loop's thread.
  package var isCurrent: Bool { thread.load(ordering: .relaxed) == UInt(pthread_self()) }

  package func isIsolatingCurrentContext() -> Bool? { isCurrent }
  package func checkIsolated() { precondition(isCurrent, "not on the event loop") }

  package func enqueue(_ job: consuming ExecutorJob) { push(.serial(UnownedJob(job))) }

  /// Runs `body` on the loop: at once if the caller is on it, else as soon as the loop can.
  package func run(_ body: @escaping @Sendable () -> Void) {
    if isCurrent { body() } else { push(.block(body)) }
  }

  /// Runs `body` in a later round, also when called on the loop.
  package func later(_ body: @escaping @Sendable () -> Void) { push(.block(body)) }

  func push(_ job: Job) {
    if isCurrent {
      local.append(job)
    } else {
      withInbox { $0.append(job) }
      // The loop sets `sleeping` before it reads the inbox a last time, so that a job pushed in
      // between is either read there or wakes it.
      if sleeping.exchange(false, ordering: .sequentiallyConsistent) { wake() }
      if thread.load(ordering: .acquiring) == EventLoop.noThread { runAfterStop() }
    }
  }

  /// Called on another thread than the loop's: ends its wait.
  private func wake() {
    counters.wokeUp()
    wakeup.signal()
  }

  /// The inbox under its lock; contention is counted.
  private func withInbox<R: Sendable>(_ body: (inout [Job]) -> R) -> R {
    if inbox.isHeld { counters.contended() }
    return inbox.withLock(body)
  }

  /// Puts a connection on the list that is flushed at the end of this tick.
  func setNeedsFlush(_ item: any Flushable) { dirty.append(item) }

  // MARK: The loop

  private func startThread() throws(SocketError) {
    let unmanaged = Unmanaged.passRetained(self)
    let started = spawnThread(
      { argument in
        guard let argument else { return nil }
        Unmanaged<EventLoop>.fromOpaque(argument).takeRetainedValue().main()
        return nil
      }, unmanaged.toOpaque(), &handle)
    if !started {
      unmanaged.release()
      throw SocketError("pthread_create", errno: EAGAIN)
    }
  }

  private func main() {
    thread.store(UInt(pthread_self()), ordering: .sequentiallyConsistent)
    nameThread(name)
    while !stopping.load(ordering: .acquiring) { tick() }
    runJobs()
    flush()
    poller.close()
    // The jobs left by the last rounds are joined to those that come after the end.
    inbox.withLock { $0.insert(contentsOf: local, at: 0) }
    local = []
    thread.store(EventLoop.noThread, ordering: .sequentiallyConsistent)
    runAfterStop()
  }

  private func tick() {
    // After sending the loop runs again at once, a few times: a long stream need not poll for
    // events after each message.
    for _ in 0..<EventLoop.roundsWithoutPoll {
      runJobs()
      flush()
      if local.isEmpty && dirty.isEmpty { break }
      tickTime = Clock.now()
    }
    var wait: Int32 = 0
    if local.isEmpty && dirty.isEmpty {
      sleeping.store(true, ordering: .sequentiallyConsistent)
      if withInbox({ $0.isEmpty }) && !stopping.load(ordering: .acquiring) {
        wait = timers.milliseconds(from: Clock.now())
      }
    }
    let ready =
      wait != 0 && busyPoll.limit > 0 ? pollBeforeBlocking(wait) : poller.wait(milliseconds: wait)
    sleeping.store(false, ordering: .relaxed)
    tickTime = Clock.now()
    for index in 0..<ready {
      if let (handler, readiness) = poller.handler(index) { handler.ready(readiness) }
    }
    fireTimers()
  }

  /// A wait that polls before it blocks, if recent waits were short.
  private func pollBeforeBlocking(_ wait: Int32) -> Int {
    let start = Clock.now()
    if busyPoll.isWorthwhile {
      // A job pushed to a polling loop need not wake it.
      sleeping.store(false, ordering: .sequentiallyConsistent)
      let end = start &+ busyPoll.limit
      while Clock.now() < end {
        let ready = poller.wait(milliseconds: 0)
        if ready > 0 || !inbox.withLock({ $0.isEmpty }) { return ready }
      }
      sleeping.store(true, ordering: .sequentiallyConsistent)
      if !inbox.withLock({ $0.isEmpty }) || stopping.load(ordering: .acquiring) { return 0 }
    }
    let ready = poller.wait(milliseconds: wait)
    busyPoll.waited(Clock.now() &- start)
    return ready
  }

  private func runJobs() {
    for _ in 0..<EventLoop.roundsPerTick {
      swap(&batch, &local)
      withInbox { incoming in
        guard !incoming.isEmpty else { return }
        counters.received(incoming.count)
        if batch.isEmpty { swap(&incoming, &batch) } else { batch.append(contentsOf: incoming) }
        incoming.removeAll(keepingCapacity: true)
      }
      if batch.isEmpty { return }
      for job in batch { run(job) }
      batch.removeAll(keepingCapacity: true)
    }
  }

  private func run(_ job: Job) {
    switch job {
    case .task(let job, let tasks): tasks.run(job)
    case .serial(let job):
      job.runSynchronously(
        isolatedTo: asUnownedSerialExecutor(), taskExecutor: tasks.asUnownedTaskExecutor())
    case .block(let body): body()
    }
  }

  private func flush() {
    var index = 0
    while index < dirty.count {
      dirty[index].flush()
      index += 1
    }
    dirty.removeAll(keepingCapacity: true)
  }

  // MARK: Stopping (own groups only; the shared group exists as long as the process)

  /// Ends the thread after the jobs at hand and joins it. Must not be called on the loop itself.
  package func shutdown() {
    guard !stopping.exchange(true, ordering: .acquiringAndReleasing) else { return }
    precondition(!isCurrent, "a loop cannot join itself")
    wake()
    pthread_join(handle, nil)
  }

  /// A job that is pushed after the end still runs, so that no task hangs: on the thread that
  /// pushed it, which counts as the loop's thread meanwhile, so that the job may access the loop's
  /// state.
  private func runAfterStop() {
    repeat {
      let claim = thread.compareExchange(
        expected: EventLoop.noThread, desired: UInt(pthread_self()),
        ordering: .acquiringAndReleasing)
      // Another thread runs them, and checks again before it returns.
      guard claim.exchanged else { return }
      while true {
        let jobs = inbox.withLock { jobs in
          defer { jobs = [] }
          return jobs
        }
        let own = local
        local = []
        if jobs.isEmpty && own.isEmpty { break }
        for job in own { run(job) }
        for job in jobs { run(job) }
      }
      thread.store(EventLoop.noThread, ordering: .sequentiallyConsistent)
    } while !inbox.withLock { $0.isEmpty }
  }
}

extension EventLoop {
  /// Runs `body` on the loop and returns its result.
  package func perform<R: Sendable>(_ body: @escaping @Sendable () -> R) async -> R {
    if isCurrent { return body() }
    // The continuation orders what follows after `body`; the atomic shows that to the thread
    // sanitizer where it is resumed before it is awaited. A checked continuation, as the sanitizer
    // misreads an unsafe one in that case.
    let sanitizerFence = SanitizerFence()
    let result = await withCheckedContinuation { continuation in
      push(
        .block {
          let result = body()
          sanitizerFence.isPassed.store(true, ordering: .releasing)
          continuation.resume(returning: result)
        })
    }
    _ = sanitizerFence.isPassed.load(ordering: .acquiring)
    return result
  }

  private final class SanitizerFence: Sendable {
    let isPassed = Atomic<Bool>(false)
  }
}

/// Something with bytes to send at the end of a tick.
protocol Flushable: AnyObject {
  func flush()
}
