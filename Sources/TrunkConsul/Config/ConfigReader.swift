// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import TrunkDiscovery
internal import TrunkSockets

/// Reads a key's value as a service config, and says what became of it: each change is one line in the
/// log. No I/O, no clock.
struct ConfigReader {
  /// Consul's own bound (`kv_max_value_size`, default 512 KiB); an agent may be set to allow more.
  static let maximumSize = 512 * 1024

  typealias Line = LogLine
  typealias Value = [UInt8]?

  private let key: String
  private let choice: ServiceConfigChoice
  private var before: Value?
  private var parsed: Result<ServiceConfig?, ServiceConfigError> = .success(nil)

  init(_ key: String, choice: ServiceConfigChoice? = nil) {
    self.key = key
    self.choice =
      choice
      ?? ServiceConfigChoice(
        hostname: HostLookup.localName ?? "", percentile: ConfigReader.percentile(of: key))
  }

  mutating func read(
    _ snapshot: ConfigWatchState.Snapshot
  ) -> (snapshot: ConfigSnapshot, log: [Line]) {
    guard let value = snapshot.value else {
      let note = "the config at kv:\(key) is not known: \(snapshot.problem ?? "")"
      return (ConfigSnapshot(note: note), [])
    }
    var log: [Line] = []
    if before == nil || value != before! {
      parsed = parse(value)
      log = [line(value)].compactMap { $0 }
      before = value
    }
    let problem = snapshot.problem.map { ": \($0)" } ?? ""
    switch parsed {
    case .success(let config?):
      return (ConfigSnapshot(config: config, note: "config from kv:\(key)\(problem)"), log)
    case .success(nil):
      let what = value == nil ? "no config at kv:" : "no config for this client at kv:"
      return (ConfigSnapshot(note: "\(what)\(key)\(problem)"), log)
    case .failure(let error):
      return (ConfigSnapshot(error: error, note: "config at kv:\(key) refused\(problem)"), log)
    }
  }

  private func line(_ value: Value) -> Line? {
    switch (parsed, value, before) {
    case (.failure(let error), _, _):
      return Line(level: .warning, text: "kv:\(key) is refused, the last config is kept: \(error)")
    case (_, nil, .some(.some)):
      return Line(level: .notice, text: "kv:\(key) was deleted, the channels' own defaults hold")
    case (_, .some, .some): return Line(level: .notice, text: "kv:\(key) has a new config")
    default: return nil
    }
  }

  private func parse(
    _ value: Value
  ) -> Result<ServiceConfig?, ServiceConfigError> {
    guard let value else { return .success(nil) }
    do throws(ServiceConfigError) {
      // An empty value is more likely an accident than a wish; deleting the key is the wish.
      guard !value.isEmpty else { throw ServiceConfigError(path: "", "the value is empty") }
      guard value.count <= ConfigReader.maximumSize else {
        throw ServiceConfigError(
          path: "", "\(value.count) bytes; at most \(ConfigReader.maximumSize) are allowed")
      }
      return .success(try choice.choose(fromJSON: value))
    } catch {
      let path = error.path.isEmpty ? "kv:\(key)" : "kv:\(key): \(error.path)"
      return .failure(ServiceConfigError(path: path, error.reason))
    }
  }

  private static let seed = UInt64.random(in: .min ... .max)

  /// The same for a key as long as the process lives, so that a `percentage` that grows only adds
  /// clients.
  static func percentile(of key: String) -> Int { Int(XXH64.hash("\(seed) \(key)") % 100) }
}
