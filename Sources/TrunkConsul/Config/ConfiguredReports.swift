// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery

/// Merges a service's instances and its config, which are watched side by side, into reports. No I/O,
/// no clock.
///
/// ```
///             instances                     config                        delay passed
///   awaited:  held back until config, delay known; reports both           late; reports instances
///   late:     reported without a config     known; reports again          -
///   known:    reported with the last config known; reports if it is new   -
/// ```
struct ConfiguredReports: Sendable {
  /// How long the first instances wait for the first config.
  static let delay = Duration.seconds(1)

  private let key: String
  private var found: Resolution?
  private var config: ConfigSnapshot?

  init(_ key: String) { self.key = key }

  mutating func found(_ resolution: Resolution) -> Resolution? {
    found = resolution
    return report
  }

  mutating func configured(_ snapshot: ConfigSnapshot) -> Resolution? {
    guard snapshot != config else { return nil }
    config = snapshot
    return report
  }

  mutating func delayPassed() -> Resolution? {
    guard config == nil else { return nil }
    config = ConfigSnapshot(note: "the config at kv:\(key) is not known yet")
    return report
  }

  /// Nil while it is held back.
  private var report: Resolution? {
    guard var resolution = found, let config else { return nil }
    resolution.serviceConfig = config.config
    resolution.serviceConfigError = config.error
    resolution.note = [resolution.note, config.note].compactMap { $0 }.joined(separator: "; ")
    return resolution
  }
}

extension SharedWatches {
  /// Runs `body` with a session whose reports get the target's service config; without one with
  /// `session` itself.
  func withConfig(
    of target: ConsulTarget, _ options: WatchOptions, _ session: ResolverSession,
    _ body: @escaping @Sendable (ResolverSession) async throws -> Void
  ) async throws {
    guard let query = target.configQuery else { return try await body(session) }
    let key = ConfigKey(agent: target.agent, query: query)
    let stream = try subscribe(key, options)
    let (events, event) = AsyncStream.makeStream(of: ConfiguredEvent.self)
    let inner = ResolverSession(
      onReport: { event.yield(.found($0)) }, onFailure: { session.reportFailure($0) },
      onRefreshWithin: { age in
        try await session.refreshRequested(within: age)
        self.wake(key)
      })
    try await withThrowingTaskGroup(of: Void.self) { group in
      defer { group.cancelAll() }
      group.addTask { for await snapshot in stream { event.yield(.configured(snapshot)) } }
      group.addTask {
        try await options.clock.sleep(for: ConfiguredReports.delay)
        event.yield(.delayPassed)
      }
      group.addTask {
        do {
          try await body(inner)
          event.yield(.ended(.success(())))
        } catch { event.yield(.ended(.failure(error))) }
      }
      var reports = ConfiguredReports(query.key)
      for await event in events {
        switch event {
        case .found(let resolution): reports.found(resolution).map(session.report)
        case .configured(let snapshot): reports.configured(snapshot).map(session.report)
        case .delayPassed: reports.delayPassed().map(session.report)
        case .ended(let result): return try result.get()
        }
      }
    }
  }
}

private enum ConfiguredEvent: Sendable {
  case found(Resolution)
  case configured(ConfigSnapshot)
  case delayPassed
  case ended(Result<Void, any Error>)
}
