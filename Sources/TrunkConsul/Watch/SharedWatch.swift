// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
package import Logging
internal import TrunkSockets

/// One watch per agent and query, shared by all channels of the process (an agent allows 200
/// connections from one address, and a long poll holds one).
///
/// A watch outlives its last subscriber for a while, because an abandoned long poll keeps its
/// connection at the agent until its wait ends (measured with 1.8.7); the next subscriber takes it
/// over, its last answer included. Abandoned polls are still counted (``PollBudget``).
package final class SharedWatches: Sendable {
  package struct Key: Hashable, Sendable {
    package var agent: ConsulAgent
    package var query: ConsulQuery
  }
  package typealias Snapshot = BlockingQuery.Snapshot

  private struct Entry {
    var subscribers: [UInt64: AsyncStream<Snapshot>.Continuation] = [:]
    var latest: Snapshot?
    var task: Task<Void, Never>?
    let wakeUp = WakeUp()
    /// Set while there is no subscriber.
    var linger: Task<Void, Never>?
    /// Distinguishes this watch from an earlier one under the same key.
    var generation: UInt64
  }
  private struct State {
    var entries: [Key: Entry] = [:]
    var nextID: UInt64 = 0
    mutating func makeID() -> UInt64 {
      nextID &+= 1
      return nextID
    }
  }
  private let state = Locked(State())
  private let budgets = PollBudgets()

  /// Used by ``ConsulResolver``.
  package static let shared = SharedWatches()

  package init() {}

  /// How many watches run, lingering ones included.
  package var count: Int { state.withLock { $0.entries.count } }

  /// Snapshots from now on, the latest known one first; only the newest is kept for a slow reader.
  /// Ends when its task is cancelled.
  /// - Throws: ``ConsulError``: an agent's address that cannot be used, too many watches.
  package func subscribe(
    _ key: Key, _ options: WatchOptions
  ) throws(ConsulError) -> AsyncStream<Snapshot> {
    let (stream, subscriber) = AsyncStream.makeStream(
      of: Snapshot.self, bufferingPolicy: .bufferingNewest(1))
    let id = state.withLock { $0.makeID() }
    // Set before the watch can yield or be cancelled; does nothing for an unknown subscriber.
    subscriber.onTermination = { [self] _ in unsubscribe(key, id, linger: options.linger) }
    if state.withLock({ SharedWatches.join(&$0, key, id, subscriber) }) { return stream }

    let client = try AgentClient(key.agent)
    try makeRoom(for: client.name, limit: options.maximumWatches)
    state.withLock { state in
      // Another task may have started it meanwhile.
      if SharedWatches.join(&state, key, id, subscriber) { return }
      let generation = state.makeID()
      let entry = Entry(subscribers: [id: subscriber], generation: generation)
      state.entries[key] = entry
      let watch = QueryWatch(
        client: client, query: key.query, timing: options.timing,
        polls: PollCounter(budgets: budgets, agent: client.name, limit: options.maximumWatches),
        wakeUp: entry.wakeUp, logger: options.logger)
      state.entries[key]?.task = Task { [self] in
        await watch.run { publish($0, key, generation) }
      }
    }
    return stream
  }

  /// A call found no server: a watch in back-off queries again now.
  package func wake(_ key: Key) { state.withLock { $0.entries[key]?.wakeUp }?.request() }

  private static func join(
    _ state: inout State, _ key: Key, _ id: UInt64,
    _ subscriber: AsyncStream<Snapshot>.Continuation
  ) -> Bool {
    guard var entry = state.entries[key] else { return false }
    entry.linger?.cancel()
    entry.linger = nil
    entry.subscribers[id] = subscriber
    // Nobody waits for it yet: the stream is still to be returned.
    if let latest = entry.latest { subscriber.yield(latest) }
    state.entries[key] = entry
    return true
  }

  /// Ends a watch without subscribers if there are too many.
  private func makeRoom(for agent: String, limit: Int) throws(ConsulError) {
    let (full, ended) = state.withLock { state -> (Bool, Entry?) in
      guard state.entries.count >= limit else { return (false, nil) }
      guard let idle = state.entries.first(where: { $0.value.subscribers.isEmpty })?.key else {
        return (true, nil)
      }
      return (false, state.entries.removeValue(forKey: idle))
    }
    ended?.task?.cancel()
    ended?.linger?.cancel()
    if full { throw .tooManyWatches(agent: agent, limit: limit) }
  }

  private func publish(_ snapshot: Snapshot, _ key: Key, _ generation: UInt64) {
    let subscribers = state.withLock { state -> [AsyncStream<Snapshot>.Continuation] in
      guard var entry = state.entries[key], entry.generation == generation else { return [] }
      entry.latest = snapshot
      state.entries[key] = entry
      return Array(entry.subscribers.values)
    }
    // Not under the lock: it resumes a task, which may be being cancelled, and then waits for the
    // termination of its stream, which asks for the lock. One task publishes for an entry, and who
    // subscribes meanwhile has the latest snapshot, so none is followed by an older one.
    for subscriber in subscribers { subscriber.yield(snapshot) }
  }

  private func unsubscribe(_ key: Key, _ id: UInt64, linger: Duration) {
    state.withLock { state in
      guard var entry = state.entries[key], entry.subscribers.removeValue(forKey: id) != nil
      else { return }
      if entry.subscribers.isEmpty {
        let generation = entry.generation
        entry.linger = Task { [self] in
          // A cancelled sleep means a new subscriber.
          guard (try? await Task.sleep(for: linger)) != nil else { return }
          end(key, generation)
        }
      }
      state.entries[key] = entry
    }
  }

  private func end(_ key: Key, _ generation: UInt64) {
    let task = state.withLock { state -> Task<Void, Never>? in
      guard let entry = state.entries[key], entry.generation == generation,
        entry.subscribers.isEmpty
      else { return nil }
      state.entries[key] = nil
      return entry.task
    }
    task?.cancel()
  }
}

/// The limits and times of a subscription.
package struct WatchOptions: Sendable {
  package var linger: Duration
  package var maximumWatches: Int
  package var timing: BlockingQueryTiming
  package var logger: Logger

  package init(
    linger: Duration = .seconds(60), maximumWatches: Int = 100,
    timing: BlockingQueryTiming = BlockingQueryTiming(),
    logger: Logger = Logger(label: "trunkcall.consul")
  ) {
    self.linger = linger
    self.maximumWatches = maximumWatches
    self.timing = timing
    self.logger = logger
  }
}
