// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import TrunkDiscovery
internal import TrunkSockets

extension AgentClient {
  /// One of the agents that may be asked.
  struct Place: Sendable {
    let address: AgentAddress
    let security: AgentSecurity.Filter?
    /// `127.0.0.1:8500`, as in errors.
    var name: String { address.description }
  }

  /// After an error the next agent is asked, except where another one would say the same.
  func moveOn(from place: Int, after error: ConsulError) {
    switch error {
    case .unreachable, .timedOut, .malformed: break
    case .refused(_, let status, _): guard status == 429 || status >= 500 else { return }
    default: return
    }
    let now = clock.now
    var random = SystemRandom()
    guard choice.withLock({ $0.failed(place, at: now, using: &random) }) else { return }
    close()
    logger.notice("\(error); \(name) is asked now")
  }

  /// Asks the first agent again when it can answer (`GET /v1/status/leader` names a leader); called before
  /// a query, now and then. If so, indexes of the other one mean nothing.
  /// - Throws: `CancellationError`.
  package func returnsToFirst() async throws -> Bool {
    guard places.count > 1 else { return false }
    let now = clock.now
    var random = SystemRandom()
    guard choice.withLock({ $0.shouldTryFirst(at: now, using: &random) }) else { return false }
    do {
      let request = HTTPRequest(.get, "v1", "status", "leader")
      let answer = try await exchange(
        request, at: 0, timeout: AgentClient.probeTimeout, mayRepeat: false)
      // `""` without a leader (Consul, Status API).
      guard answer.status == 200, answer.body.count > 2 else { return false }
    } catch {
      guard !(error is CancellationError) else { throw error }
      logger.debug("\(error); \(name) is asked for another while")
      return false
    }
    let before = name
    choice.withLock { $0.firstAnswers() }
    close()
    logger.notice("consul \(name): it answers again, and is asked instead of \(before)")
    return true
  }

  /// An agent is close by.
  private static var probeTimeout: Duration { .seconds(1) }
}
