// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkSockets

/// The watches of one kind that a process has, one for each key. A watch outlives its last subscriber
/// for a while; the next subscriber takes it over, its last snapshot included.
package final class WatchTable<Key: Hashable & Sendable, Snapshot: Sendable>: Sendable {
  /// Runs one watch until its task is cancelled. It does not hold the table.
  package typealias Run = @Sendable (_ publish: (Snapshot) -> Void) async -> Void

  private struct Entry {
    var subscribers: [UInt64: AsyncStream<Snapshot>.Continuation] = [:]
    var latest: Snapshot?
    var task: Task<Void, Never>?
    let wakeUp: WakeUp
    let record: WatchRecord
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

  package init() {}

  /// How many watches run, lingering ones included.
  package var count: Int { state.withLock { $0.entries.count } }

  package struct Status: Sendable {
    package var key: Key
    package var subscribers: Int
    package var latest: Snapshot?
    package var record: WatchRecord
  }

  /// Of every watch, in no order.
  package var statuses: [Status] {
    state.withLock { state in
      state.entries.map {
        Status(
          key: $0.key, subscribers: $0.value.subscribers.count, latest: $0.value.latest,
          record: $0.value.record)
      }
    }
  }

  /// nil: there is no such watch.
  package func status(_ key: Key) -> Status? {
    state.withLock { state in
      state.entries[key].map {
        Status(
          key: key, subscribers: $0.subscribers.count, latest: $0.latest, record: $0.record)
      }
    }
  }

  /// Snapshots from now on, the latest known one first; only the newest is kept for a slow reader.
  /// Ends when its task is cancelled.
  /// - Parameter start: makes the watch if there is none yet; it may throw, e.g. for want of room.
  func subscribe(
    _ key: Key, linger: Duration, clock: WatchClock,
    start: (_ wakeUp: WakeUp, _ record: WatchRecord) throws(ConsulError) -> Run
  ) throws(ConsulError) -> AsyncStream<Snapshot> {
    let (stream, subscriber) = AsyncStream.makeStream(
      of: Snapshot.self, bufferingPolicy: .bufferingNewest(1))
    let id = state.withLock { $0.makeID() }
    // Set before the watch can yield or be cancelled; does nothing for an unknown subscriber.
    subscriber.onTermination = { [self] _ in unsubscribe(key, id, linger: linger, clock) }
    if state.withLock({ WatchTable.join(&$0, key, id, subscriber) }) { return stream }

    let wakeUp = WakeUp(clock)
    let record = WatchRecord()
    let run = try start(wakeUp, record)
    state.withLock { state in
      // Another task may have started it meanwhile.
      if WatchTable.join(&state, key, id, subscriber) { return }
      let generation = state.makeID()
      var entry = Entry(
        subscribers: [id: subscriber], wakeUp: wakeUp, record: record, generation: generation)
      entry.task = Task { [self] in
        await run { publish($0, key, generation) }
      }
      state.entries[key] = entry
    }
    return stream
  }

  /// A call found no server: a watch in back-off queries again now.
  package func wake(_ key: Key) { state.withLock { $0.entries[key]?.wakeUp }?.request() }

  /// Ends one watch without subscribers; false if there is none.
  func endIdle() -> Bool {
    let ended = state.withLock { state -> Entry? in
      let idle = state.entries.first { $0.value.subscribers.isEmpty }?.key
      return idle.flatMap { state.entries.removeValue(forKey: $0) }
    }
    ended?.task?.cancel()
    ended?.linger?.cancel()
    return ended != nil
  }

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

  private func unsubscribe(_ key: Key, _ id: UInt64, linger: Duration, _ clock: WatchClock) {
    state.withLock { state in
      guard var entry = state.entries[key], entry.subscribers.removeValue(forKey: id) != nil
      else { return }
      if entry.subscribers.isEmpty {
        let generation = entry.generation
        entry.linger = Task { [self] in
          // A cancelled sleep means a new subscriber.
          guard (try? await clock.sleep(for: linger)) != nil else { return }
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
