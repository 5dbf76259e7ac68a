// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
package import TrunkDiscovery

/// What goes into a ``BlockingQuery`` and comes out of it.
extension BlockingQuery {
  /// A whole answer of the agent.
  package struct Answer: Sendable {
    /// `X-Consul-Index` as it came.
    package var index: String?
    package var mapping: InstanceMapping
    package var info: AnswerInfo
    package init(index: String?, _ mapping: InstanceMapping, _ info: AnswerInfo = AnswerInfo()) {
      self.index = index
      self.mapping = mapping
      self.info = info
    }
  }

  package typealias Failure = PollSchedule.Failure

  /// What subscribers get.
  package struct Snapshot: Sendable, Hashable {
    package var endpoints: [Endpoint]
    package var note: String
    /// Instances that vanished in a mass: for calls while no endpoint can be used.
    package var lastResort: [Endpoint] = []
    /// False: the agent could not be reached, or refused; the endpoints are the last known ones.
    package var isAnswer: Bool
    package init(_ endpoints: [Endpoint], _ note: String, isAnswer: Bool = true) {
      self.endpoints = endpoints
      self.note = note
      self.isAnswer = isAnswer
    }
  }

  /// What keeps instances beyond the last answer, and when the first of it ends.
  package struct Holds: Sendable, Hashable {
    package var kinds: [ConsulHold] = []
    package var end: Instant?
  }

  package enum Next: Sendable, Hashable {
    /// Send the query; without an index the agent answers at once. Give up after `timeout` (Consul,
    /// Blocking Queries).
    case query(index: UInt64?, wait: Duration?, timeout: Duration)
    /// Query once, without waiting and without `stale`: the answer was too old.
    case queryLeader(timeout: Duration)
    /// Query once, without waiting and without `passing`, to find out why a set is empty, or lacks most
    /// of its instances.
    case explain(timeout: Duration)
    case sleep(Duration)
    /// After a failure. A call that finds no server ends it, but not before `least`.
    case backOff(Duration, least: Duration)
  }

  /// First publish and save, then do `next`.
  package struct Step: Sendable, Hashable {
    package var publish: Snapshot?
    /// A set that is worth keeping on disk.
    package var save: [Endpoint]?
    package var next: Next
  }
}
