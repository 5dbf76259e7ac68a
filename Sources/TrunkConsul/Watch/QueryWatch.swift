internal import Logging
// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery

/// Drives one ``BlockingQuery`` against an agent until its task is cancelled.
struct QueryWatch: Sendable {
  let client: AgentClient
  let query: ConsulQuery
  let timing: BlockingQueryTiming
  let logger: Logger

  func run(_ publish: (BlockingQuery.Snapshot) -> Void) async {
    var random = SystemRandom()
    var rules = BlockingQuery(
      wait: query.wait, explains: query.health == .passing, timing: timing)
    var step = rules.begin(at: .now)
    do {
      while true {
        try Task.checkCancellation()
        if let snapshot = step.publish {
          logger.debug("consul \(client.name): \(query.service): \(snapshot.note)")
          publish(snapshot)
        }
        switch step.next {
        case .sleep(let duration):
          try await Task.sleep(for: duration)
          step = rules.woke(at: .now)
        case .explain(let timeout):
          step = rules.explained(try await explain(timeout), at: .now)
        case .query(let index, let wait, let timeout):
          do {
            let answer = try await ask(index, wait, timeout)
            step = rules.answered(answer, at: .now, using: &random)
          } catch let error as ConsulError {
            logger.debug("\(error)")
            step = rules.failed(BlockingQuery.Failure(error), at: .now, using: &random)
          }
        }
      }
    } catch {
      // Cancelled: the client makes a ConsulError of everything else.
      client.close()
    }
  }

  private func ask(
    _ index: UInt64?, _ wait: Duration?, _ timeout: Duration
  ) async throws -> BlockingQuery.Answer {
    let response = try await client.send(
      query.request(index: index, wait: wait), timeout: timeout, mayRepeat: index == nil)
    return BlockingQuery.Answer(
      index: response.headers["x-consul-index"],
      InstanceMapping(try client.entries(of: response), for: query))
  }

  /// Counts all instances; nil if that could not be had, which is no reason to say nothing.
  private func explain(_ timeout: Duration) async throws -> InstanceCounts? {
    do {
      let request = query.request(index: nil, wait: nil, health: .any)
      let answer = try await client.send(request, timeout: timeout)
      var counts = InstanceCounts(try client.entries(of: answer))
      if counts.total == 0 {
        counts.hidden = try await client.hides(answer, timeout: timeout)
      }
      return counts
    } catch is ConsulError {
      return nil
    }
  }
}

extension BlockingQuery.Failure {
  init(_ error: ConsulError) {
    switch error {
    case .refused(_, let status, _): self = .status(status, error.reason)
    case .malformed: self = .malformed(error.reason)
    // As slow as a refused token: somebody has to mend the file.
    case .tokenFile: self = .status(403, "\(error)")
    case .badAddress, .unreachable, .timedOut, .tooManyWatches, .nothingToAdvertise:
      self = .transport(error.reason)
    }
  }
}
