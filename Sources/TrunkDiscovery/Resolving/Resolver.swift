// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Turns names of one URI scheme into endpoints.
///
/// `resolve` runs for as long as the channel is in use and is cancelled with it. Report whole
/// snapshots. A poller awaits ``ResolverSession/refreshRequested()`` between queries, or
/// ``ResolverSession/refreshRequested(within:)`` if its answers have a time to live; a watcher
/// never calls them. Throwing means "resolution failed": the channel keeps its last snapshot, backs
/// off (1 s, x1.6, at most 120 s, connection-backoff.md), and calls `resolve` again. Returning ends
/// resolution for good with the last snapshot in force.
public protocol Resolver: Sendable {
  /// Lower case, as written before the first colon of a target.
  var scheme: String { get }
  /// Rejects a malformed target before the channel is made; the default accepts everything.
  func validate(_ target: Target) throws(TargetError)
  /// The `:authority` of calls to this target; the default is the target's endpoint (its path).
  func authority(of target: Target) -> String
  /// Resolves until cancelled; reports by ``ResolverSession/report(_:)``.
  /// - Throws: if resolution failed; the channel calls it again after the back-off.
  func resolve(_ target: Target, _ session: ResolverSession) async throws
  /// The least time between two returns of ``ResolverSession/refreshRequested()``; nil, the
  /// default: the channel's minimum re-resolution interval.
  var refreshInterval: Duration? { get }
}

extension Resolver {
  /// nil: the channel's minimum re-resolution interval.
  public var refreshInterval: Duration? { nil }
  /// Accepts every target.
  public func validate(_ target: Target) throws(TargetError) {}
  /// The target's endpoint: its path without the leading slash.
  public func authority(of target: Target) -> String { target.endpoint }
}

/// How one run of ``Resolver/resolve(_:_:)`` reports to its channel, and waits for the channel's
/// requests.
public struct ResolverSession: Sendable {
  let onReport: @Sendable (Resolution) -> Void
  let onFailure: @Sendable (String) -> Void
  let onRefresh: @Sendable (Duration?) async throws -> Void

  /// For tests of a resolver; a channel makes its own. To wrap a resolver, change the reports of the
  /// channel's session with ``mapping(_:)`` instead, which keeps its minimum intervals.
  ///
  /// ``refreshRequested(within:)`` returns after 30 s at the earliest, if `onRefresh` does not.
  public init(
    onReport: @escaping @Sendable (Resolution) -> Void,
    onRefresh: @escaping @Sendable () async throws -> Void
  ) {
    self.init(
      onReport: onReport, onFailure: { _ in },
      onRefreshWithin: { age in
        guard let age else { return try await onRefresh() }
        try await withThrowingTaskGroup(of: Void.self) { group in
          defer { group.cancelAll() }
          group.addTask { try await Task.sleep(for: max(age, .seconds(30))) }
          group.addTask { try await onRefresh() }
          try await group.next()
        }
      })
  }

  /// A channel's session, or another driver's.
  package init(
    onReport: @escaping @Sendable (Resolution) -> Void,
    onFailure: @escaping @Sendable (String) -> Void,
    onRefreshWithin: @escaping @Sendable (Duration?) async throws -> Void
  ) {
    self.onReport = onReport
    self.onFailure = onFailure
    onRefresh = onRefreshWithin
  }

  /// Gives the channel a new snapshot. An empty one is a result too: calls fail with its note.
  public func report(_ resolution: Resolution) { onReport(resolution) }

  /// Resolution failed, and this run of the resolver tries again by itself: the channel keeps its
  /// last snapshot. One line.
  package func reportFailure(_ note: String) { onFailure(note) }

  /// Suspends until the channel asks for a fresher result (a connection failed, a GOAWAY came, a
  /// call found no server), no more often than ``Resolver/refreshInterval``, else than the
  /// channel's minimum re-resolution interval (30 s, as in grpc-go).
  /// - Throws: `CancellationError` when the channel closes.
  public func refreshRequested() async throws { try await refreshRequested(within: nil) }

  /// As ``refreshRequested()``, and returns without a request as well, when the result is `age` old:
  /// for answers with a time to live. No sooner than ``Resolver/refreshInterval``, else than 1 s,
  /// after the last look-up began.
  /// - Parameter age: counts from this call; nil: only a request ends the wait.
  /// - Throws: `CancellationError` when the channel closes.
  public func refreshRequested(within age: Duration?) async throws {
    try await onRefresh(age)
    // The closure of a session made by an application may return when it is cancelled: a resolver's
    // loop must end then.
    try Task.checkCancellation()
  }

  /// The same session with other reports: for a resolver that changes what another one finds.
  public func mapping(
    _ change: @escaping @Sendable (Resolution) -> Resolution
  ) -> ResolverSession {
    let onReport = onReport
    return ResolverSession(
      onReport: { onReport(change($0)) }, onFailure: onFailure, onRefreshWithin: onRefresh)
  }
}
