// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import TrunkDiscovery
internal import TrunkSockets

/// `dns:///host[:port]`: every address of the name is an endpoint of its own (port 443 unless
/// written). `dns://server[:53]/host[:port]` queries that DNS server; without one the system
/// resolves (`getaddrinfo`: /etc/hosts, nsswitch, search domains). An IP literal needs no look-up;
/// an IPv6 one may have a zone (`dns:///[fe80::1%25eth0]:50051`).
///
/// Both address families are queried at once. If only one is answered, the other is waited for 50
/// ms (RFC 8305 §3), then the known addresses are reported; later ones are reported as a second
/// result.
///
/// Resolves again when the channel asks for a fresher result, no sooner than 30 s after the last
/// look-up (``ChannelOptions/minResolutionInterval``), and when the time to live of the answer is
/// over, no sooner than 1 s; ``minimumInterval`` replaces both. One of 0 counts as 30 s. An
/// answer has a time to live from a chosen server, and for SRV and TXT records; the system's look-up
/// (`getaddrinfo`) knows none. A name that does not exist (NXDOMAIN), or has no address (NODATA), is
/// a failed look-up: the channel keeps its last result and backs off. Source: naming.md, gRFC A2.
///
/// `dns:///name?srv` asks for the SRV records of the name (RFC 2782), `dns:///name?srv=grpc` for
/// those of `_grpc._tcp.name`; not part of gRPC's naming. Each record is an endpoint with the
/// record's port and weight, and all addresses of its host. Those of the lowest priority number
/// with an address are used, with `&priorities=all` every one, in the order of their priorities.
/// `:authority` and TLS have the target's name, without labels such as `_grpc._tcp`.
public struct DNSResolver: Resolver {
  /// `dns`.
  public var scheme: String { "dns" }

  /// Whether to read a service config from the TXT record `_grpc_config.NAME` (gRFC A2). Default:
  /// no, since a forged DNS answer could then redirect calls.
  ///
  /// It is looked up beside the addresses. The first result waits for it, for 1 s at most after the
  /// addresses are known; then they are reported without it, and again when it is known. Later
  /// results have the last known config until there is a new one. If the look-up fails the last
  /// known one stays in force, and a bad config never replaces a good one (gRFC A21).
  public var serviceConfig: Bool
  /// How long one look-up may take. Default 30 s, as in grpc-go.
  public var timeout: Duration
  /// Least time between two look-ups, whatever the channel asks for and however short the time to
  /// live is. Default nil: the channel's ``ChannelOptions/minResolutionInterval`` (30 s) where it
  /// asks, 1 s where the time to live is over. Less than 1 s counts as 1 s for the latter.
  public var minimumInterval: Duration?
  /// An answer is looked up again after this time, if it has no time to live or a longer one.
  /// Default nil: one without is in force until the channel asks.
  public var maximumAge: Duration?

  /// - Parameters: see the properties of the same names.
  public init(
    serviceConfig: Bool = false, timeout: Duration = .seconds(30),
    minimumInterval: Duration? = nil, maximumAge: Duration? = nil
  ) {
    self.serviceConfig = serviceConfig
    self.timeout = timeout
    self.minimumInterval = minimumInterval
    self.maximumAge = maximumAge
  }

  /// See ``minimumInterval``.
  public var refreshInterval: Duration? { minimumInterval }

  /// - Throws: ``TargetError`` for a missing or malformed host, port or server, or a bad parameter.
  public func validate(_ target: Target) throws(TargetError) { _ = try DNSTarget(target) }

  /// The host and port as written; with `srv` the name without the labels of service and protocol.
  public func authority(of target: Target) -> String { DNSTarget.authority(of: target) }

  /// Reports a result, then one more after each refresh request and each time to live.
  /// - Throws: if the look-up fails or finds no address.
  public func resolve(_ target: Target, _ session: ResolverSession) async throws {
    let name = try DNSTarget(target)
    if let answer = name.immediate {
      session.report(answer)
      while true { try await session.refreshRequested() }
    }
    try await DNSRun(DNSLookUp(name, timeout), self, session).run()
  }
}

/// One run of the resolver: starts look-ups, and reports what they find in one order.
private struct DNSRun: Sendable {
  enum Event: Sendable {
    case addresses(DNSAnswer, isLast: Bool)
    case config(DNSConfigAnswer)
    case configDelayPassed(round: Int)
    /// Requested, or the answer is too old.
    case refresh
    case failed(any Error)
  }

  let lookUp: DNSLookUp
  let settings: DNSResolver
  let session: ResolverSession
  let events: AsyncStream<Event>
  let sink: AsyncStream<Event>.Continuation

  init(_ lookUp: DNSLookUp, _ settings: DNSResolver, _ session: ResolverSession) {
    self.lookUp = lookUp
    self.settings = settings
    self.session = session
    (events, sink) = AsyncStream.makeStream(of: Event.self)
  }

  func run() async throws {
    try await withThrowingDiscardingTaskGroup { group in
      defer { group.cancelAll() }
      var report = DNSReport(usesConfig: settings.serviceConfig)
      var round = 0
      /// A TXT look-up that has no answer yet outlives the addresses' next look-up.
      var asksForConfig = false
      func start() {
        round += 1
        post(to: &group) { .addresses(try await addresses(), isLast: true) }
        guard settings.serviceConfig, !asksForConfig else { return }
        asksForConfig = true
        post(to: &group) { .config(try await lookUp.serviceConfig()) }
      }
      /// All addresses of this round are known, and the next one is not waited for yet.
      var isOpen = false
      func waitForNext() {
        guard isOpen else { return }
        isOpen = false
        let age = age(report.timeToLive)
        post(to: &group) {
          try await session.refreshRequested(within: age)
          return .refresh
        }
      }
      /// What is reported of a round that has no full answer yet.
      var partial: DNSAnswer?
      start()
      for await event in events {
        switch event {
        case .refresh: start()
        case .addresses(let answer, let isLast):
          if let resolution = report.found(answer), !isLast || answer.isNews(after: partial) {
            session.report(resolution)
          }
          partial = isLast ? nil : answer
          if asksForConfig {
            post(to: &group) { [round] in
              try await Task.sleep(for: DNSReport.configDelay)
              return .configDelayPassed(round: round)
            }
          }
          isOpen = isLast
          if !asksForConfig { waitForNext() }
        case .config(let answer):
          asksForConfig = false
          if let resolution = report.config(answer) { session.report(resolution) }
          waitForNext()
        case .configDelayPassed(round):
          if let resolution = report.configDelayPassed() { session.report(resolution) }
          waitForNext()
        case .configDelayPassed: break
        case .failed(let error): throw error
        }
      }
      throw CancellationError()
    }
  }

  private func addresses() async throws -> DNSAnswer {
    try await lookUp.endpoints { sink.yield(.addresses($0, isLast: false)) }
  }

  private func post(
    to group: inout ThrowingDiscardingTaskGroup<any Error>,
    _ work: @escaping @Sendable () async throws -> Event
  ) {
    group.addTask { [sink] in
      do { sink.yield(try await work()) } catch { sink.yield(.failed(error)) }
    }
  }

  private func age(_ timeToLive: UInt32?) -> Duration? {
    let age = timeToLive.map {
      // 0 says that an answer may not be cached (RFC 1035 §3.2.1), not that it changes every second.
      let own = $0 == 0 ? settings.minimumInterval ?? .seconds(30) : .seconds(Int64($0))
      return max(own, .seconds(1))
    }
    return [age, settings.maximumAge].compactMap { $0 }.min()
  }
}
