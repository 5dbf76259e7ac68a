// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery

/// The rules of keeping a service registered, as a value.
///
///     begin -> REGISTERING --registered--> REGISTERED <--confirmed-- CONFIRMING
///               ^    |                         '----- timerFired -----^ |   |
///               |    '---failed---> BACKOFF <----------failed-----------'   |
///               |                      '- timerFired: the failed step again |
///               '------------ forgotten, drifted, renewed, changed ---------'
///
/// After a 4xx the step that follows is always REGISTERING. `changed` may come in any sleep.
///
/// Rules:
/// - An agent that cannot be reached is tried again, without limit, after about 0.25 s...5 s: it is
///   local, a request is cheap, and a server must be registered soon after its agent is up.
/// - An agent that lost its state gets the registration again as soon as it answers that it does
///   not know the service; in doubt as well, since the same registration again wakes no watch
///   (measured with 1.8.7).
/// - A service that another program changed, or whose token was replaced, is registered again; the
///   agent keeps the token of a registration and uses it for the catalogue.
/// - A definition that the agent refuses for good is tried again after 5 min: the agent may be
///   another one by then.
/// - A check that turns critical is logged once, with its output, and so is its recovery; the same
///   holds for maintenance.
/// - An error is logged when it begins, when it changes, and once a minute while it lasts.
package struct RegistrationState: Sendable {
  package typealias Instant = ContinuousClock.Instant

  package enum Next: Sendable, Hashable {
    case register
    /// Ask whether the agent still has the service, or send the TTL check's status.
    case confirm
    case sleep(Duration)
  }
  /// Something for the log.
  package enum Notice: Sendable, Hashable {
    case registered(again: Bool)
    case forgotten
    case trouble(String)
    /// Another program changed it in the agent: what.
    case drifted(String)
    /// The token differs from the one it was registered with.
    case renewed
    /// The agent's check fails: its output.
    case critical(String)
    case passing
    /// The application changed it.
    case changed
    /// The agent refuses the definition for good.
    case refused(String)
    /// Somebody took it out: the reason.
    case inMaintenance(String)
    case maintenanceEnded
  }
  package struct Step: Sendable, Hashable {
    package var notice: Notice?
    package var next: Next
  }

  /// Time between two confirmations, ±20 % so that many servers do not ask at the same time.
  private let interval: Duration
  private let hasTTL: Bool
  private var afterSleep = Next.register
  private var wasRegistered = false
  private var backoff = Backoff()
  private var lastReported: (text: String, at: Instant)?
  private var lastReportedDrift: (text: String, at: Instant)?
  /// The cause of the next registration was logged already.
  private var isQuiet = false
  private var isCritical = false
  private var maintenance: String?
  private static let repeatAfter = Duration.seconds(60)
  private static let refusalRest = Duration.seconds(300)

  /// - Parameter life: the TTL of a TTL check; nil for checks that the agent runs.
  package init(confirmEvery interval: Duration = .seconds(3), life: Duration? = nil) {
    // Consul, Agent Check API: at least three updates in a TTL.
    self.interval = life.map { min(interval, $0 / 4) } ?? interval
    hasTTL = life != nil
    backoff.initial = .milliseconds(250)
    // Programs of a host may begin at the same moment.
    backoff.firstJitter = PollSchedule.firstJitter
    backoff.maximum = .seconds(5)
  }

  package mutating func begin() -> Step { Step(notice: nil, next: .register) }

  package mutating func timerFired() -> Step { Step(notice: nil, next: afterSleep) }

  package mutating func registered(using random: inout some RandomNumberGenerator) -> Step {
    let notice = isQuiet ? nil : Notice.registered(again: wasRegistered)
    wasRegistered = true
    isQuiet = false
    settle()
    // Consul, Agent Check API: a TTL starts to run when it is registered.
    return hasTTL ? Step(notice: notice, next: .confirm) : Step(notice: notice, next: rest(&random))
  }

  /// - Parameters:
  ///   - critical: the output of the agent's check while it fails; nil while it does not.
  ///   - maintenance: its reason; nil if there is none.
  package mutating func confirmed(
    critical: String? = nil, maintenance: String? = nil,
    using random: inout some RandomNumberGenerator
  ) -> Step {
    var notice = lastReported == nil ? nil : Notice.registered(again: true)
    if isCritical != (critical != nil) {
      isCritical = critical != nil
      notice = critical.map { .critical($0) } ?? .passing
    }
    if self.maintenance != maintenance {
      self.maintenance = maintenance
      notice = maintenance.map { .inMaintenance($0) } ?? .maintenanceEnded
    }
    settle()
    return Step(notice: notice, next: rest(&random))
  }

  /// - Parameter what: the difference to the registered service.
  package mutating func drifted(_ what: String, at now: Instant) -> Step {
    let isKnown = lastReportedDrift.map {
      $0.text == what && now - $0.at < RegistrationState.repeatAfter
    }
    if isKnown == true {
      isQuiet = true
      return Step(notice: nil, next: .register)
    }
    lastReportedDrift = (what, now)
    return Step(notice: .drifted(what), next: .register)
  }

  package mutating func renewed() -> Step { Step(notice: .renewed, next: .register) }

  /// The application changed the definition.
  package mutating func changed() -> Step { Step(notice: .changed, next: .register) }

  package mutating func refused(
    _ text: String, using random: inout some RandomNumberGenerator
  ) -> Step {
    afterSleep = .register
    return Step(
      notice: .refused(text),
      next: .sleep(RegistrationState.refusalRest * Double.random(in: 0.8...1.2, using: &random)))
  }

  package mutating func forgotten() -> Step { Step(notice: .forgotten, next: .register) }

  /// - Parameter status: of an answer with an error; nil if there was no answer.
  package mutating func failed(
    _ step: Next, _ text: String, status: Int? = nil, at now: Instant,
    using random: inout some RandomNumberGenerator
  ) -> Step {
    afterSleep = step
    var delay = Duration.nanoseconds(Int64(clamping: backoff.next(using: &random)))
    if let status, (400..<500).contains(status) {
      // An error in the request or the token lasts. Confirming may be what is refused.
      afterSleep = .register
      delay = max(delay, .seconds(10) * Double.random(in: 0.8...1.2, using: &random))
    }
    var notice: Notice?
    if lastReported.map({ $0.text != text || now - $0.at >= RegistrationState.repeatAfter }) ?? true
    {
      notice = .trouble(text)
      lastReported = (text, now)
    }
    return Step(notice: notice, next: .sleep(delay))
  }

  private mutating func settle() {
    backoff.reset()
    lastReported = nil
  }

  private mutating func rest(_ random: inout some RandomNumberGenerator) -> Next {
    afterSleep = .confirm
    return .sleep(interval * Double.random(in: 0.8...1.2, using: &random))
  }
}
