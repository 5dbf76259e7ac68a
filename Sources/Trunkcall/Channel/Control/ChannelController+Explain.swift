// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery
internal import TrunkSockets

extension ChannelContext {
  /// From the control loop, and then the counts of each connection from its own.
  func explain() async -> ChannelExplanation {
    let draft = await controlLoop.perform { [self] in controller.value.explain() }
    var explanation = draft.explanation
    for (index, connections) in draft.connections.enumerated() {
      for connection in connections {
        let (isTakingCalls, counts, waiting) = await connection.loop.perform {
          let connection = connection.value
          return (connection.isTakingCalls, connection.counts, connection.callsWaitingForStream)
        }
        explanation.waitingCalls += waiting
        explanation.endpoints[index].calls.add(counts)
        if isTakingCalls { explanation.endpoints[index].connections += 1 }
      }
    }
    return explanation
  }
}

/// Without the counts of open connections, which belong to other loops.
private struct ExplanationDraft: Sendable {
  var explanation: ChannelExplanation
  /// For each endpoint.
  var connections: [[LoopBound<ClientConnection>]]
}

extension ChannelController {
  fileprivate func explain() -> ExplanationDraft {
    let now = Clock.now()
    let policy = core.explainPolicy(now: now)
    let shown = subchannels.values.sorted { $0.id.raw < $1.id.raw }
    let endpoints = shown.map { one in
      EndpointExplanation(
        id: one.id, endpoint: one.core.endpoint, state: one.core.state,
        stateAge: span(one.stateSince, now),
        errors: one.core.failures.map { "\($0.address) \($0.error)" },
        nextAttempt: one.core.nextAttempt.map { span(now, $0) }, connections: 0,
        calls: one.pastCalls,
        notes: (policy?.notes(of: one.id) ?? []) + (one.health.map { [$0.text] } ?? []))
    }
    let explanation = ChannelExplanation(
      target: parts.target.description, state: core.state,
      resolver: diagnostics(balancer: nil).resolverText(now),
      serviceConfig: core.serviceConfig?.json, configOrigin: core.configOrigin,
      configError: core.configError?.description, policy: policy, endpoints: endpoints,
      waitingCalls: waitingCalls)
    return ExplanationDraft(
      explanation: explanation, connections: shown.map { connections(of: $0.id) })
  }
}

private func span(_ from: UInt64, _ to: UInt64) -> Duration {
  .nanoseconds(Int64(clamping: to > from ? to - from : 0))
}
