// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Synchronization
internal import TrunkSockets

/// What one watch has done so far: written by the watch, read for ``ConsulStatistics``.
package final class WatchRecord: Sendable {
  package struct Facts: Sendable {
    /// The address of the agent that was last asked; empty before the first time.
    package var agent = ""
    /// Path and query as last sent.
    package var request = ""
    package var queries = 0
    package var answers = 0
    package var updates = 0
    package var failures = 0
    /// Why there is no answer since the last one.
    package var problem: String?
    package var answeredAt: ContinuousClock.Instant?
    package var index: UInt64?
    package var info = AnswerInfo()
    package var holds = BlockingQuery.Holds()
  }
  private let state = Locked(Facts())

  package init() {}

  package var facts: Facts { state.withLock { $0 } }

  func sent(_ request: HTTPRequest, to agent: String) {
    state.withLock {
      $0.agent = agent
      $0.request = request.requestTarget
      $0.queries &+= 1
    }
  }

  func answered(_ headers: HTTPHeaders, at now: ContinuousClock.Instant) {
    let index = PollSchedule.index(headers["x-consul-index"])
    let info = AnswerInfo(headers)
    state.withLock {
      $0.answers &+= 1
      $0.answeredAt = now
      $0.index = index
      $0.info = info
      $0.problem = nil
    }
  }

  func failed(_ reason: String) {
    state.withLock {
      $0.failures &+= 1
      $0.problem = reason
    }
  }

  /// The rules have judged an answer or a failure.
  func judged(published: Bool, holds: BlockingQuery.Holds = .init()) {
    state.withLock {
      if published { $0.updates &+= 1 }
      $0.holds = holds
    }
  }
}
