// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Logging
import Synchronization
import Testing
import TrunkDiscovery
import TrunkSockets
import TrunkTesting

/// A server that only reports its address, and records the statuses that are set.
final class TestServer: AdvertisedServer {
  private let addresses: [Address]
  private let statuses = Locked<[String]>([])
  private let onServing: @Sendable (Bool) -> Void
  let hasHealthService: Bool
  let checkedSecurity = CheckedSecurity()

  init(
    _ addresses: Address..., hasHealthService: Bool = true,
    onServing: @escaping @Sendable (Bool) -> Void = { _ in }
  ) {
    self.addresses = addresses
    self.hasHealthService = hasHealthService
    self.onServing = onServing
  }
  /// `+name` and `-name` in order.
  var serving: [String] { statuses.withLock { $0 } }

  func listeningAddresses() async throws -> [Address] { addresses }
  func setServing(_ name: String, _ serving: Bool) async {
    statuses.withLock { $0.append((serving ? "+" : "-") + name) }
    onServing(serving)
  }
  func isServing(_ name: String) -> Bool? {
    statuses.withLock { $0.last { $0.dropFirst() == name } }.map { $0.hasPrefix("+") }
  }
}

/// What was logged: `level text`.
final class Log: Sendable {
  private let entries = Locked<[String]>([])
  var lines: [String] { entries.withLock { $0 } }
  var logger: Logger {
    Logger(label: "test") { [self] _ in
      Handler { line in self.entries.withLock { $0.append(line) } }
    }
  }

  private struct Handler: LogHandler {
    let take: @Sendable (String) -> Void
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.trace

    init(_ take: @escaping @Sendable (String) -> Void) { self.take = take }
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }
    func log(event: LogEvent) { take("\(event.level) \(event.message)") }
  }
}

/// A port of which nobody knows, where nobody listens any more.
func closedPort() async throws -> UInt16 {
  let spare = try await ScriptedConsulAgent.start(answering: [])
  let port = spare.port
  spare.stop()
  let isClosed = try await eventually {
    guard
      let stream = try? await ByteStream.connect(
        to: .host("127.0.0.1", port), on: EventLoopGroup.shared.next(), timeout: .seconds(5))
    else { return true }
    stream.close()
    return false
  }
  try #require(isClosed)
  return port
}

/// Suspends until something is so; fails by returning false after a limit.
func eventually(
  within limit: Duration = .seconds(10), _ condition: () async throws -> Bool
) async throws -> Bool {
  let deadline = ContinuousClock.now + limit
  while ContinuousClock.now < deadline {
    if try await condition() { return true }
    try await Task.sleep(for: .milliseconds(5))
  }
  return try await condition()
}
