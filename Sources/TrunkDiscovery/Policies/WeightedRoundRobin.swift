// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkWire

/// `weighted_round_robin` (gRFC A58): every endpoint is kept connected; the ready ones get calls in
/// proportion to how many they answer per utilization, by their servers' load reports (gRFC A51).
///
/// - Reports come with calls' trailers, or out of band. A weight counts when reports have come for the
///   blackout period, until none has come for the expiration period.
/// - With fewer than two weights it is round_robin; an endpoint without a weight gets the mean.
/// - A new picker is published when weights have changed, at most once per update period.
/// - With ``Config/useEndpointWeights``, an option of this library: while fewer than two endpoints have
///   reported weights the resolver's count, and afterwards an endpoint without a reported weight gets
///   the mean in proportion to the resolver's.
/// - With ``Config/slowStart``, an option of this library: new endpoints begin with a part of their weight.
public struct WeightedRoundRobin: Balancer {
  /// `weighted_round_robin`.
  public static var name: String { "weighted_round_robin" }

  /// The policy's JSON object; durations as `"10s"`.
  public struct Config: Sendable, Hashable {
    /// Reports come on a stream of their own instead of with calls. Default false.
    public var enableOobLoadReport = false
    /// How often servers are asked for such reports; they may send less often. Default 10 s.
    public var oobReportingPeriod: Duration = .seconds(10)
    /// How long reports must have come, after connecting or expiry, before they count. Default 10 s.
    public var blackoutPeriod: Duration = .seconds(10)
    /// How long after the last report its weight counts. Default 180 s.
    public var weightExpirationPeriod: Duration = .seconds(180)
    /// How often weights are computed anew, at least 100 ms. Default 1 s.
    public var weightUpdatePeriod: Duration = .seconds(1)
    /// What a server's rate of errors, 0...1, counts as utilization. Default 1.
    public var errorUtilizationPenalty = 1.0
    /// Whether ``Endpoint/weight`` counts until reports come: Consul's weights. Not gRPC's. Default
    /// false.
    public var useEndpointWeights = false
    /// Not gRPC's; see ``WeightedRoundRobin/SlowStart``. Default nil: none.
    public var slowStart: SlowStart?

    /// All defaults.
    public init() {}
  }

  /// Lets the weight of an endpoint that has come, or failed and come back, grow from
  /// ``minWeightPercent`` to its full size over ``window``, with the names and the formula of Envoy's slow
  /// start: weight * max(`minWeightPercent` / 100, (age / `window`)^(1 / `aggression`)). It needs no load
  /// reports: without them all weights are 1. An option of this library.
  public struct SlowStart: Sendable, Hashable {
    /// Above zero, required.
    public var window: Duration
    /// Above zero. 1: linear; more: faster at the beginning. Default 1.
    public var aggression = 1.0
    /// Above 0...100. Default 10.
    public var minWeightPercent = 10.0

    /// - Parameter window: how long it takes.
    public init(window: Duration) { self.window = window }
  }

  /// - Throws: ``ServiceConfigError`` for a field of the wrong type and a negative penalty. An update
  ///   period below 100 ms is 100 ms.
  public static func parse(_ json: [UInt8]) throws(ServiceConfigError) -> Config {
    let fields = try JSONReader(JSONValue(parsing: json), path: name)
    var config = Config()
    if let value = try fields.bool("enableOobLoadReport") { config.enableOobLoadReport = value }
    if let value = try fields.duration("oobReportingPeriod") { config.oobReportingPeriod = value }
    if let value = try fields.duration("blackoutPeriod") { config.blackoutPeriod = value }
    if let value = try fields.duration("weightExpirationPeriod") {
      config.weightExpirationPeriod = value
    }
    if let value = try fields.duration("weightUpdatePeriod") { config.weightUpdatePeriod = value }
    if let value = try fields.number("errorUtilizationPenalty") {
      guard value >= 0, value.isFinite else {
        throw fields.error("errorUtilizationPenalty", "at least 0 is needed, not \(value)")
      }
      config.errorUtilizationPenalty = value
    }
    if let value = try fields.bool("useEndpointWeights") { config.useEndpointWeights = value }
    if let fields = try fields.object("slowStart") { config.slowStart = try slowStart(fields) }
    return config
  }

  private static func slowStart(_ fields: JSONReader) throws(ServiceConfigError) -> SlowStart {
    let window = try fields.required("window", fields.duration("window"))
    guard window > .zero else { throw fields.error("window", "more than 0s is needed") }
    var slowStart = SlowStart(window: window)
    if let value = try fields.number("aggression") {
      guard value > 0, value.isFinite else {
        throw fields.error("aggression", "more than 0 is needed, not \(value)")
      }
      slowStart.aggression = value
    }
    if let value = try fields.number("minWeightPercent") {
      guard value > 0, value <= 100 else {
        throw fields.error("minWeightPercent", "above 0, at most 100 is needed, not \(value)")
      }
      slowStart.minWeightPercent = value
    }
    return slowStart
  }

  /// ``Config/weightUpdatePeriod`` is at least this.
  static let minimumUpdatePeriod: Duration = .milliseconds(100)

  private var config: Config
  private var set: ReadySet<EndpointWeight>
  private var starting = StartingEndpoints()
  /// False until the config's reports are asked for.
  private var isConfigured = false
  private var now: UInt64 = 0
  private var nextUpdate: UInt64?
  /// Of the last picker, in the order of its subchannels.
  private var published: [UInt16]?

  /// Without subchannels until the first resolution.
  public init(_ config: Config) {
    self.config = config
    let rules = config.rules
    set = ReadySet { EndpointWeight(rules) }
  }

  /// True: connections and reports are kept; a stream of reports is begun, ended, or asked for anew.
  public mutating func reconfigure(_ config: Config) -> Bool {
    self.config = config
    let rules = config.rules
    set.changeObservers({ EndpointWeight(rules) }) { $0.apply(rules) }
    isConfigured = false
    nextUpdate = nil
    return true
  }

  /// See ``Balancer/handle(_:_:)``.
  public mutating func handle(_ event: BalancerEvent, _ actions: inout BalancerActions) {
    now = actions.now
    if !isConfigured {
      isConfigured = true
      set.reportLoad(
        every: config.enableOobLoadReport ? config.oobReportingPeriod : nil, &actions)
    }
    if case .subchannel(let id, .ready, _) = event { set.observer(of: id)?.connected() }
    set.handle(event, &actions)
    starting.handle(event, at: now)
    if case .resolved = event { starting.keep { set.observer(of: $0) != nil } }
    update(&actions)
  }

  /// Picks among the READY subchannels by weight; waits or fails if there is none.
  public mutating func makePicker() -> any Picker {
    let published = weights(set.ready)
    self.published = published
    return set.picker { ready in
      let ids = ready.map(\.id)
      guard let published else { return RoundRobinPicker(ready: ids) }
      return StridePicker(StrideTable(ids, published))
    }
  }

  /// A new picker, if its time has come and its weights would be others.
  private mutating func update(_ actions: inout BalancerActions) {
    guard set.state == .ready else {
      nextUpdate = nil
      return
    }
    if let nextUpdate, now < nextUpdate { return }
    let ready = set.ready
    guard ready.count > 1 else {
      nextUpdate = nil
      return
    }
    let due = now.saturatingAdd(
      nanoseconds(max(config.weightUpdatePeriod, WeightedRoundRobin.minimumUpdatePeriod)))
    nextUpdate = due
    actions.wake(at: due)
    if weights(ready) != published { actions.changed(.ready) }
  }

  private func weights(_ ready: [ReadySet<EndpointWeight>.Ready]) -> [UInt16]? {
    let weights = fullWeights(ready)
    guard let slowStart = config.slowStart else { return StaticStride.scale(weights) }
    let factors = ready.map { starting.factor(of: $0.id, at: now, slowStart) }
    guard factors.contains(where: { $0 < 1 }) else { return StaticStride.scale(weights) }
    let known = weights.compactMap { $0 }
    let count = Double(known.count)
    let mean = known.reduce(0) { $0 + $1 / count }
    return StaticStride.scale(
      zip(weights, factors).map { weight, factor in
        factor * (known.count > 1 ? weight ?? mean : 1)
      })
  }

  /// Nil for an endpoint that gets the mean; with fewer than two all are the same.
  private func fullWeights(_ ready: [ReadySet<EndpointWeight>.Ready]) -> [Double?] {
    let blackout = nanoseconds(config.blackoutPeriod)
    let expiration = nanoseconds(config.weightExpirationPeriod)
    let reported = ready.map {
      $0.observer.flatMap { $0.weight(at: now, blackout: blackout, expiration: expiration) }
    }
    guard config.useEndpointWeights else { return reported }
    let own = ready.map { Double(max(1, $0.endpoint.weight)) }
    let known = zip(reported, own).compactMap { weight, own in weight.map { ($0, own) } }
    guard known.count > 1, let greatest = known.map(\.0).max() else { return own }
    // In parts of the greatest, whose sum is finite: servers may report anything.
    let unit = known.reduce(0) { $0 + $1.0 / greatest } / known.reduce(0) { $0 + $1.1 }
    return zip(reported, own).map { $0 ?? min($1 * unit * greatest, .greatestFiniteMagnitude) }
  }

  /// A config may hold any duration.
  private func nanoseconds(_ duration: Duration) -> UInt64 {
    UInt64(max(0, min(duration / .nanoseconds(1), 9e18)))
  }
}

extension WeightedRoundRobin.Config {
  fileprivate var rules: EndpointWeight.Rules {
    EndpointWeight.Rules(
      isOutOfBand: enableOobLoadReport, errorPenalty: errorUtilizationPenalty)
  }
}
