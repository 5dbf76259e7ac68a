// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import TrunkDiscovery
internal import TrunkSockets

/// One run of a resolver for each target, shared by all channels that were given this object: many
/// channels to one name then look it up once.
///
/// ```swift
/// let names = SharedResolver(DNSResolver())
/// let first = try GRPCChannel(to: "dns:///orders.example:50051", resolvers: [names])
/// let second = try GRPCChannel(to: "dns:///orders.example:50051", resolvers: [names])
/// ```
///
/// Targets are the same if their texts are. A channel that joins gets the last result at once.
/// Channels' requests for a fresher result are merged: no more often than
/// ``Resolver/refreshInterval`` of the resolver within, else than ``minimumInterval``. After a
/// failure the run is repeated with back-off (1 s, x1.6, at most 120 s), once for all channels. It
/// ends ``linger`` after its last channel closed or went idle.
///
/// `consul` shares its watches by itself.
public final class SharedResolver: Resolver {
  /// That of the resolver within.
  public var scheme: String { resolver.scheme }
  /// Zero: requests are merged here.
  public var refreshInterval: Duration? { .zero }
  /// Least time between two look-ups of a target, if the resolver within has none of its own. Default
  /// 30 s; a channel's ``ChannelOptions/minResolutionInterval`` has no effect.
  public let minimumInterval: Duration
  /// How long a run goes on without a channel. Default 30 s.
  public let linger: Duration
  /// Different targets at once. Default 1,000: runs without a channel end to make room; channels to
  /// further targets get runs of their own, not shared.
  public let maximumTargets: Int

  private let resolver: any Resolver
  private let runs: SharedRuns

  /// - Parameters: see the properties of the same names.
  public init(
    _ resolver: any Resolver, minimumInterval: Duration = .seconds(30),
    linger: Duration = .seconds(30), maximumTargets: Int = 1_000
  ) {
    self.resolver = resolver
    self.minimumInterval = minimumInterval
    self.linger = linger
    self.maximumTargets = maximumTargets
    runs = SharedRuns(linger: linger, limit: maximumTargets)
  }

  /// How many runs there are now, those without a channel included.
  public var activeRuns: Int { runs.count }

  /// That of the resolver within.
  public func validate(_ target: Target) throws(TargetError) { try resolver.validate(target) }

  /// That of the resolver within.
  public func authority(of target: Target) -> String { resolver.authority(of: target) }

  /// Reports what the shared run of the target reports, its last result first.
  public func resolve(_ target: Target, _ session: ResolverSession) async throws {
    let subscription = runs.join(target.text) { onEvent in
      ResolverDriver(
        resolver, target, minInterval: minimumInterval, backoff: Backoff(), onEvent: onEvent)
    }
    defer { runs.leave(subscription) }
    await withThrowingTaskGroup(of: Void.self) { group in
      defer { group.cancelAll() }
      group.addTask {
        while true {
          try await session.refreshRequested()
          subscription.driver.requestRefresh()
        }
      }
      for await event in subscription.events {
        switch event {
        case .resolution(let resolution): session.report(resolution)
        case .failed(let note): session.reportFailure(note)
        }
      }
    }
    throw CancellationError()
  }
}
