// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import TrunkDiscovery
internal import TrunkSockets

/// Resolves one target by several sources, each a target of its own.
///
/// ``first(of:resolvers:minimumInterval:)``: the first source that has endpoints is used, e.g.
/// Consul, else DNS. One that fails or is empty gives way to the next, and is used again as soon as it
/// has endpoints.
///
/// ```swift
/// let names = try AggregateResolver.first(
///   of: ["consul:///orders", "dns:///orders.example:50051"], resolvers: [.consul()])
/// let channel = try GRPCChannel(to: "first:///orders.example", resolvers: [names])
/// ```
///
/// ``priorities(_:resolvers:minimumInterval:)``: the endpoints of all sources, each with its source's
/// name in front of ``Endpoint/childPath``, for children of these names of the policy
/// `priority_experimental` (gRFC A56).
///
/// Every source runs as long as the channel is in use, a failed one again with back-off (1 s, x1.6, at
/// most 120 s). The channel's requests for a fresher result go to all of them. The note of a result
/// says which source it is from, and why those in front of it are not used. `:authority` is the
/// aggregate's endpoint (`orders.example` above), whatever the source.
public struct AggregateResolver: Resolver {
  /// `first` or `priorities`.
  public let scheme: String
  /// Zero: each source has its own least interval.
  public var refreshInterval: Duration? { .zero }

  private struct Source: Sendable {
    let name: String
    let target: Target
    let resolver: any Resolver
  }
  private let mode: AggregateState.Mode
  private let sources: [Source]
  private let minimumInterval: Duration

  /// Scheme `first`: the endpoints of the first source that has some.
  ///
  /// At the start sources in front are waited for, 1 s at most. If none can be used, the last
  /// endpoints of one that failed stay in force.
  /// - Parameters:
  ///   - targets: of the sources, the preferred one first.
  ///   - resolvers: for their schemes, beside the built-in ones.
  ///   - minimumInterval: least time between two look-ups of a source whose resolver has none of its
  ///     own. Default 30 s.
  /// - Throws: ``TargetError`` of a source's target; no target at all.
  public static func first(
    of targets: [String], resolvers: [any Resolver] = [],
    minimumInterval: Duration = .seconds(30)
  ) throws(TargetError) -> AggregateResolver {
    try AggregateResolver(
      .first, scheme: "first", targets.map { (name: $0, target: $0) }, resolvers, minimumInterval)
  }

  /// Scheme `priorities`: the endpoints of all sources, each for the child of its name.
  ///
  /// At the start all sources are waited for, 1 s at most. One that fails keeps its last endpoints.
  /// - Parameters:
  ///   - sources: the children's names in the policy's config, and their targets.
  ///   - resolvers: for their schemes, beside the built-in ones.
  ///   - minimumInterval: see ``first(of:resolvers:minimumInterval:)``.
  /// - Throws: ``TargetError`` of a source's target; no source at all.
  public static func priorities(
    _ sources: [(name: String, target: String)], resolvers: [any Resolver] = [],
    minimumInterval: Duration = .seconds(30)
  ) throws(TargetError) -> AggregateResolver {
    try AggregateResolver(.priorities, scheme: "priorities", sources, resolvers, minimumInterval)
  }

  private init(
    _ mode: AggregateState.Mode, scheme: String, _ sources: [(name: String, target: String)],
    _ resolvers: [any Resolver], _ minimumInterval: Duration
  ) throws(TargetError) {
    guard !sources.isEmpty else {
      throw TargetError(.missingAddress, target: "\(scheme):", column: 0, "it has no sources")
    }
    var registry = ResolverRegistry.builtIn
    for resolver in resolvers { registry.register(resolver) }
    var found: [Source] = []
    for source in sources {
      let (target, resolver) = try registry.find(source.target)
      let name = mode == .first ? target.description : source.name
      found.append(Source(name: name, target: target, resolver: resolver))
    }
    self.scheme = scheme
    self.mode = mode
    self.sources = found
    self.minimumInterval = minimumInterval
  }

  private enum Event: Sendable {
    case source(Int, ResolverDriver.Event)
    case startDelayPassed
  }

  /// Reports until cancelled.
  public func resolve(_ target: Target, _ session: ResolverSession) async throws {
    let (events, sink) = AsyncStream.makeStream(of: Event.self)
    let drivers = sources.enumerated().map { index, source in
      ResolverDriver(
        source.resolver, source.target, minInterval: minimumInterval, backoff: Backoff()
      ) { sink.yield(.source(index, $0)) }
    }
    await withThrowingTaskGroup(of: Void.self) { group in
      defer { group.cancelAll() }
      for driver in drivers { group.addTask { await driver.run() } }
      group.addTask {
        try await Task.sleep(for: AggregateState.startDelay)
        sink.yield(.startDelayPassed)
      }
      group.addTask {
        while true {
          try await session.refreshRequested()
          for driver in drivers { driver.requestRefresh() }
        }
      }
      var state = AggregateState(mode, sources.map(\.name))
      for await event in events {
        let report =
          switch event {
          case .source(let index, let event): state.receive(event, from: index)
          case .startDelayPassed: state.startDelayPassed()
          }
        switch report {
        case .resolution(let resolution): session.report(resolution)
        case .failed(let note): session.reportFailure(note)
        case nil: break
        }
      }
    }
    throw CancellationError()
  }
}
