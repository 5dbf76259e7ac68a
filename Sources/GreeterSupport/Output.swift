// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import Logging

#if canImport(Glibc)
  private import Glibc
#else
  private import Darwin
#endif

/// Writes a result to stdout, one line at once, so that a pipe gets it without delay.
public func say(_ line: String) { write(line, to: 1) }

/// Writes any other line to stderr.
public func printError(_ line: String) { write(line, to: 2) }

private func write(_ line: String, to descriptor: Int32) {
  var line = line + "\n"
  line.withUTF8 { bytes in
    var rest = UnsafeRawBufferPointer(bytes)
    while !rest.isEmpty, let base = rest.baseAddress {
      #if canImport(Glibc)
        let count = Glibc.write(descriptor, base, rest.count)
      #else
        let count = Darwin.write(descriptor, base, rest.count)
      #endif
      if count < 0 && errno == EINTR { continue }
      if count <= 0 { return }
      rest = UnsafeRawBufferPointer(rebasing: rest[count...])
    }
  }
}

/// Sends every logger's lines to stderr: `info greeter: Received: world`. Call it once, before the
/// first logger is made.
public func logToStandardError(_ level: Logger.Level) {
  LoggingSystem.bootstrap { StandardErrorLog(label: $0, logLevel: level) }
}

struct StandardErrorLog: LogHandler {
  let label: String
  var logLevel: Logger.Level
  var metadata: Logger.Metadata = [:]

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  // swift-log checks the level before it makes the message: a disabled line costs a comparison.
  func log(event: LogEvent) {
    var line = "\(event.level) \(label): \(event.message)"
    if let error = event.error { line += " error=\(error)" }
    let all = metadata.merging(event.metadata ?? [:]) { $1 }
    for (key, value) in all.sorted(by: { $0.key < $1.key }) { line += " \(key)=\(value)" }
    printError(StandardErrorLog.printable(line))
  }

  /// A peer's text must not start new lines or control a terminal.
  static func printable(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: isControl) else { return text }
    var safe = ""
    for scalar in text.unicodeScalars {
      if isControl(scalar) {
        safe += "\\u{\(String(scalar.value, radix: 16))}"
      } else {
        safe.unicodeScalars.append(scalar)
      }
    }
    return safe
  }

  private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
    scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value)
  }
}
