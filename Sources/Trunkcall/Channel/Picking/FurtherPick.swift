// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery
internal import TrunkSockets

/// The servers that earlier attempts of a call went to. Of a call with retries: where the call is; of
/// the attempts of a hedged call, which share one: on the control loop.
final class TriedServers {
  private var ids: [SubchannelID] = []

  func insert(_ id: SubchannelID) { if !ids.contains(id) { ids.append(id) } }
  func contains(_ id: SubchannelID) -> Bool { ids.contains(id) }
}

extension ChannelController {
  /// Picks for one attempt are repeated this often to reach another server; then a server gets a
  /// further attempt of the call.
  private static let furtherPicks = 8

  /// Picks for a call. A further attempt passes over the servers that had one, as long as the policy
  /// picks another one: gRFC A6 asks for distinct back ends for hedged requests, and a server that has
  /// just failed a call is the one most likely to fail it again.
  func pick(_ call: ClientCall) -> PickerSnapshot.Answer {
    var answer = snapshot.pick(call, now: controlLoop.now)
    guard let tried = call.tried else { return answer }
    for _ in 0..<ChannelController.furtherPicks {
      guard case .go(let reference, let token) = answer, tried.contains(reference.subchannel)
      else { break }
      let other = snapshot.pick(call, now: controlLoop.now)
      // A server that is not connected is no better.
      if case .noConnection(let id, let token?) = other { notSent(id, token, .cancelled) }
      guard case .go = other else { break }
      if let token { notSent(reference.subchannel, token, .cancelled) }
      answer = other
    }
    if case .go(let reference, _) = answer { call.willTry(reference.subchannel) }
    return answer
  }

  /// A policy that counts its picks gets the outcome of each, also of one that no call follows.
  func notSent(_ id: SubchannelID, _ token: UInt64, _ code: RPCError.Code) {
    post(
      .core(
        .completed([PickOutcome(subchannel: id, token: token, code: code, latency: .zero)])))
  }
}

extension ClientCall {
  fileprivate var tried: TriedServers? {
    switch policy {
    case .none, .hedged: nil
    case .retries(let retries): retries.tried
    case .hedge(let attempt): attempt.tried
    }
  }

  /// An attempt of a hedged call is tried from its pick on: the next one may begin before it ends.
  fileprivate func willTry(_ id: SubchannelID) {
    if case .hedge(let attempt) = policy { attempt.tried.insert(id) }
  }
}
