// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery

/// Endpoints that a look-up found.
struct DNSAnswer: Sendable, Hashable {
  var endpoints: [Endpoint]
  var note: String
  /// Seconds; nil if the answer has none.
  var timeToLive: UInt32?

  /// Whether it has more to report than a partial answer of the same look-up.
  func isNews(after partial: DNSAnswer?) -> Bool {
    partial?.endpoints != endpoints || partial?.note != note
  }
}

/// What the look-up of a service config found (gRFC A2).
enum DNSConfigAnswer: Sendable, Hashable {
  /// Nil: there is none for this client.
  case config(ServiceConfig?, timeToLive: UInt32?)
  case bad(ServiceConfigError, timeToLive: UInt32?)
  /// There was no answer; one line.
  case failed(String)
}

/// Merges endpoints and service config, which are looked up side by side, into reports.
///
/// ```
///                  endpoints                    config                      delay passed
///   awaited:       held back until config,      known; reports endpoints    late; reports endpoints
///                  delay
///   late:          reported without a config    known; reports again        -
///   known:         reported with it             known; reports if it is new -
/// ```
struct DNSReport: Sendable {
  private enum Config: Sendable {
    /// Not asked for.
    case off
    case awaited
    case late
    case known
  }
  /// How long known endpoints wait for the first config.
  static let configDelay: Duration = .seconds(1)

  private var state: Config
  private var found: DNSAnswer?
  private var config: ServiceConfig?
  private var configError: ServiceConfigError?
  private var configTimeToLive: UInt32?
  private var configRemark = ""

  init(usesConfig: Bool) { state = usesConfig ? .awaited : .off }

  /// Seconds: the smallest of both answers.
  var timeToLive: UInt32? { [found?.timeToLive, configTimeToLive].compactMap { $0 }.min() }

  mutating func found(_ answer: DNSAnswer) -> Resolution? {
    found = answer
    return resolution
  }

  mutating func configDelayPassed() -> Resolution? {
    guard case .awaited = state else { return nil }
    state = .late
    configRemark = ", its service config is not known yet"
    return resolution
  }

  mutating func config(_ answer: DNSConfigAnswer) -> Resolution? {
    let before = resolution
    state = .known
    switch answer {
    case .config(let config, let timeToLive):
      self.config = config
      configError = nil
      configTimeToLive = timeToLive
      configRemark = ""
    case .bad(let error, let timeToLive):
      configError = error
      configTimeToLive = timeToLive
      configRemark = ""
    case .failed(let why):
      // Asked for again as soon as that is allowed.
      configTimeToLive = 0
      configRemark = ", its service config is not known: \(why)"
    }
    let after = resolution
    return after == before ? nil : after
  }

  /// Nil while it is held back.
  private var resolution: Resolution? {
    guard let found else { return nil }
    if case .awaited = state { return nil }
    var resolution = Resolution(
      found.endpoints, serviceConfig: config, note: found.note + configRemark)
    resolution.serviceConfigError = configError
    return resolution
  }
}
