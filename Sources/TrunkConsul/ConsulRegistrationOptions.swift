// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// How a ``ConsulRegistration`` acts at its ends.
public struct ConsulRegistrationOptions: Sendable, Hashable {
  /// What to do when the agent answers that the definition itself is wrong (400), or when it is too
  /// old for a kind of check.
  public enum OnRefusal: Sendable, Hashable {
    /// `run()` throws, which stops the server that runs beside it. Only for the first registration:
    /// a server that was registered before is kept.
    case stop
    /// The server serves on without being found; the registration is tried every 5 min and after
    /// each ``ConsulRegistration/update(_:)``.
    case keepServing
  }

  /// Default ``OnRefusal/stop``: a server that can never be registered says so when it is started.
  public var onRefusal = OnRefusal.stop
  /// How much longer than 200 ms the instance stays in maintenance before it is deregistered: the
  /// time by which the slowest readers lag. Default 400 ms: a watch of this library is up to 0.5 s
  /// late while its rate limit acts. More for readers of stale or cached answers.
  public var drainLag = Duration.milliseconds(400)

  /// The defaults.
  public init() {}
}

/// The times of a ``ConsulRegistration``.
package struct RegistrationTiming: Sendable, Hashable {
  package var confirmInterval = Duration.seconds(3)
  /// For one request to a local agent.
  package var requestTimeout = Duration.seconds(3)
  /// For taking the instance out and deregistering it: half of it each, and half of it for a write
  /// under way before; and the same again for waiting until the catalogue shows it.
  package var leaveTimeout = Duration.seconds(2)
  /// Between two looks at the catalogue at a stop; doubles, up to ten times as long.
  package var pollInterval = Duration.milliseconds(20)
  package var propagation = Duration.milliseconds(200)
  package init() {}
}
