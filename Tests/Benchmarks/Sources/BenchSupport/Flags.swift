// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Glibc

/// `--name value` pairs behind the words that say what to do.
public struct Flags {
  /// What stands before the first flag.
  public private(set) var words: [String] = []
  private var values: [String: String] = [:]

  /// Ends the process when a flag has no value, or is not among `allowed`.
  public init(_ arguments: [String] = Array(CommandLine.arguments.dropFirst()), allowed: [String]) {
    var rest = arguments[...]
    while let word = rest.popFirst() {
      guard word.hasPrefix("--") else {
        words.append(word)
        continue
      }
      let name = String(word.dropFirst(2))
      guard allowed.contains(name), let value = rest.popFirst() else {
        stop("\(word): not a flag, or without a value; flags: \(allowed.joined(separator: " "))")
      }
      values[name] = value
    }
  }

  public func text(_ name: String, _ fallback: String) -> String { values[name] ?? fallback }

  public func number(_ name: String, _ fallback: Int) -> Int {
    guard let text = values[name] else { return fallback }
    guard let number = Int(text), number >= 0 else { stop("--\(name) \(text): not a number") }
    return number
  }

  public func seconds(_ name: String, _ fallback: Double) -> Double {
    guard let text = values[name] else { return fallback }
    guard let number = Double(text), number > 0 else { stop("--\(name) \(text): not a number") }
    return number
  }
}

/// Says why on stderr and ends the process. A figure from a wrong reply is worth nothing.
public func stop(_ why: String) -> Never {
  let line = "bench: \(why)\n"
  _ = line.withCString { write(2, $0, strlen($0)) }
  exit(1)
}

/// A line on stdout, at once.
public func say(_ line: String) {
  let line = line + "\n"
  _ = line.withCString { write(1, $0, strlen($0)) }
}
