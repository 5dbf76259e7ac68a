// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Logging
import TrunkSockets

/// What was logged, for tests.
final class LogLines: Sendable {
  struct Entry: Sendable {
    var level: Logger.Level
    var message: String
    var metadata: [String: String]
  }
  private let all = Locked<[Entry]>([])
  private let level: Logger.Level
  var entries: [Entry] { all.withLock { $0 } }
  var lines: [String] { entries.map(\.message) }
  var logger: Logger { Logger(label: "test") { _ in Handler(lines: self, logLevel: level) } }

  init(level: Logger.Level = .info) { self.level = level }

  private struct Handler: LogHandler {
    let lines: LogLines
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }
    func log(event: LogEvent) {
      let entry = Entry(
        level: event.level, message: "\(event.message)",
        metadata: (event.metadata ?? [:]).mapValues { "\($0)" })
      lines.all.withLock { $0.append(entry) }
    }
  }
}
