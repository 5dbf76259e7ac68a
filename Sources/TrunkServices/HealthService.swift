// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import SwiftProtobuf
internal import TrunkSockets
public import Trunkcall

/// `grpc.health.v1.Health`: Check, Watch and List (health-checking.md, gRFC A90).
///
/// The empty name stands for the whole server. It and the names of all the server's services are
/// SERVING by default, so that Kubernetes' gRPC probe, grpc_health_probe and Consul's check work
/// without further settings. When the server's stop begins every name is NOT_SERVING, whatever is
/// set later, until the object is given to another server, for which it begins anew.
public final class HealthService: Grpc_Health_V1_Health.Service, HealthReporting {
  typealias Status = Grpc_Health_V1_HealthCheckResponse.ServingStatus

  /// Told that there is a change; what it is, the reader asks for. So the order in which watchers
  /// are told does not matter, and none is told under the lock: that resumes a task, and waits for
  /// its cancellation handlers if it is being cancelled, which may ask for the lock.
  fileprivate typealias Watcher = AsyncStream<Void>.Continuation
  typealias Changes = AsyncMapSequence<AsyncStream<Void>, Status>

  fileprivate struct State {
    var table = HealthTable()
    var watchers: [String: [UInt64: Watcher]] = [:]
    var lastWatcher: UInt64 = 0
  }
  private let state = Locked(State())

  /// The empty name is SERVING; a server adds the names of its services.
  public init() {}

  /// Sets the status of `name`: SERVING or NOT_SERVING. No effect after the server's stop has
  /// begun.
  public func setServing(_ name: String, _ serving: Bool) {
    let watchers = state.withLock { state in
      state.table.set(name, serving) ? state.watchers(of: [name]) : []
    }
    for watcher in watchers { watcher.yield() }
  }

  /// The status of `name`; nil for a name that was never set.
  public func isServing(_ name: String) -> Bool? { state.withLock { $0.table.isServing(name) } }

  /// Called by a server when it is made: its services are SERVING, except those whose status was set
  /// before. Statuses from before an earlier server's stop are forgotten.
  public func serves(_ services: [String]) {
    let watchers = state.withLock { state in
      state.table.begin()
      let changed = services.filter { state.table.add($0) }
      return state.watchers(of: changed)
    }
    for watcher in watchers { watcher.yield() }
  }

  /// Every name is NOT_SERVING from now on, and watches end after having sent that.
  public func beginShutdown() {
    let (changed, all) = state.withLock { state in
      let changed = state.table.beginShutdown()
      return (state.watchers(of: changed), state.watchers.values.flatMap(\.values))
    }
    for watcher in changed { watcher.yield() }
    // A watch has no end of its own and would delay every stop for the whole drain.
    for watcher in all { watcher.finish() }
  }

  /// The status of one name (health-checking.md).
  /// - Throws: NOT_FOUND for a name that was never set.
  public nonisolated(nonsending) func check(
    _ request: Grpc_Health_V1_HealthCheckRequest, _ call: ServerCall
  ) async throws -> Grpc_Health_V1_HealthCheckResponse {
    try check(request.service)
  }

  /// Sends the status at once and after every change; a slow reader gets the newest. A name that
  /// was never set is SERVICE_UNKNOWN until it is (health-checking.md). Lasts until the call ends
  /// or the server's stop begins.
  /// - Throws: UNAVAILABLE at the server's stop.
  public nonisolated(nonsending) func watch(
    _ request: Grpc_Health_V1_HealthCheckRequest,
    _ replies: MessageWriter<Grpc_Health_V1_HealthCheckResponse>, _ call: ServerCall
  ) async throws {
    let (id, changes) = watch(request.service)
    defer { removeWatcher(request.service, id) }
    var last: Status?
    for await status in changes where status != last {
      last = status
      try await replies.write(.with { $0.status = status })
    }
    try Task.checkCancellation()
    throw RPCError(.unavailable, "the server is shutting down")
  }

  /// All names and their status (gRFC A90).
  /// - Throws: RESOURCE_EXHAUSTED for more than 100 names.
  public nonisolated(nonsending) func list(
    _ request: Grpc_Health_V1_HealthListRequest, _ call: ServerCall
  ) async throws -> Grpc_Health_V1_HealthListResponse {
    try list()
  }

  // MARK: Without a call

  func check(_ name: String) throws(RPCError) -> Grpc_Health_V1_HealthCheckResponse {
    guard let serving = state.withLock({ $0.table.isServing(name) }) else {
      throw RPCError(.notFound, "unknown service \(name)")
    }
    return .with { $0.status = serving ? .serving : .notServing }
  }

  func list() throws(RPCError) -> Grpc_Health_V1_HealthListResponse {
    guard let names = state.withLock({ $0.table.list() }) else {
      throw RPCError(
        .resourceExhausted, "more than \(HealthTable.listLimit) names; ask for them one by one")
    }
    return .with {
      $0.statuses = names.mapValues { serving in
        .with { $0.status = serving ? .serving : .notServing }
      }
    }
  }

  /// The present status of `name`, then each change. End it with ``removeWatcher(_:_:)``.
  func watch(_ name: String) -> (id: UInt64, changes: Changes) {
    let (changes, watcher) = AsyncStream.makeStream(
      of: Void.self, bufferingPolicy: .bufferingNewest(1))
    // The present status comes first; before it is known to others, who may finish it.
    watcher.yield()
    let (id, isShuttingDown) = state.withLock { state in
      state.lastWatcher += 1
      state.watchers[name, default: [:]][state.lastWatcher] = watcher
      return (state.lastWatcher, state.table.isShuttingDown)
    }
    if isShuttingDown { watcher.finish() }
    return (id, changes.map { [self] in state.withLock { $0.status(of: name) } })
  }

  func removeWatcher(_ name: String, _ id: UInt64) {
    let watcher = state.withLock { state in
      let watcher = state.watchers[name]?.removeValue(forKey: id)
      // Names come from peers: an empty entry must not remain.
      if state.watchers[name]?.isEmpty == true { state.watchers[name] = nil }
      return watcher
    }
    watcher?.finish()
  }

  var watchedNames: Int { state.withLock { $0.watchers.count } }
}

extension HealthService.State {
  func status(of name: String) -> HealthService.Status {
    guard let serving = table.isServing(name) else { return .serviceUnknown }
    return serving ? .serving : .notServing
  }

  func watchers(of names: [String]) -> [HealthService.Watcher] {
    names.flatMap { watchers[$0, default: [:]].values }
  }
}
