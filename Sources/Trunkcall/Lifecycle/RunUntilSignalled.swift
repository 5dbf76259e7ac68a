// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import Logging
internal import TrunkSockets

/// Runs services until SIGINT or SIGTERM, or until one of them ends; then stops them gracefully,
/// last first, each one fully before the next. A second signal ends the process.
///
/// `runUntilSignalled(server, registration, logger:)` therefore deregisters before the server
/// sends GOAWAY.
/// - Throws: the error of the first service that failed, or why signals cannot be waited for: the
///   services are stopped then as well.
public func runUntilSignalled(_ services: any LongRunning..., logger: Logger) async throws {
  try await run(services, until: { _ = try await TerminationSignals.wait() }, logger)
}

/// The same with another end than a signal, for tests.
package func run(
  _ services: [any LongRunning], until end: @escaping @Sendable () async throws -> Void,
  _ logger: Logger
) async throws {
  try await withThrowingTaskGroup(of: (index: Int, error: (any Error)?).self) { group in
    for (index, service) in services.enumerated() {
      group.addTask {
        do {
          try await service.run()
          return (index, nil)
        } catch { return (index, error) }
      }
    }
    group.addTask {
      do {
        try await end()
        return (-1, nil)
      } catch { return (-1, error) }
    }
    var ended: Set<Int> = []
    var failure: (any Error)?
    func take(_ result: (index: Int, error: (any Error)?)) {
      ended.insert(result.index)
      if failure == nil, !(result.error is CancellationError) { failure = result.error }
    }
    if let first = try await group.next() {
      take(first)
      if first.index < 0, let failure {
        logger.error("signals cannot be waited for", metadata: ["error": "\(failure)"])
      }
      let signal = failure == nil ? "signal" : "no signals"
      logger.debug(
        "stopping", metadata: ["because": .string(first.index < 0 ? signal : "a service ended")])
    }
    for index in services.indices.reversed() where !ended.contains(index) {
      services[index].shutDown()
      while !ended.contains(index), let result = try await group.next() { take(result) }
    }
    group.cancelAll()
    if let failure { throw failure }
  }
}
