// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Boolean flags in the forms of gRPC's own programs (Abseil's and Go's): `--use_tls`,
/// `--use_tls=true`, `--use_tls true`, `--nouse_tls`.
public enum BooleanFlags {
  /// The arguments with a value for each of these flags: `--use_tls=true` or `=false`. A value that
  /// is no boolean is kept, and refused by the parser.
  public static func withValues(
    _ arguments: some Sequence<String>, _ names: Set<String>
  ) -> [String] {
    var result: [String] = []
    var rest = Array(arguments)[...]
    while let argument = rest.popFirst() {
      if argument == "--" { return result + [argument] + rest }
      guard argument.hasPrefix("--") else {
        result.append(argument)
        continue
      }
      let parts = argument.dropFirst(2).split(
        separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let name = String(parts.first ?? "")
      if parts.count == 1, name.hasPrefix("no"), names.contains(String(name.dropFirst(2))) {
        result.append("--\(name.dropFirst(2))=false")
      } else if !names.contains(name) {
        result.append(argument)
      } else if parts.count == 2 {
        result.append("--\(name)=\(value(String(parts[1])) ?? String(parts[1]))")
      } else if let next = rest.first, let value = value(next) {
        rest.removeFirst()
        result.append("--\(name)=\(value)")
      } else {
        result.append("--\(name)=true")
      }
    }
    return result
  }

  private static func value(_ text: String) -> String? {
    switch text.lowercased() {
    case "true", "t", "yes", "y", "1": "true"
    case "false", "f", "no", "n", "0": "false"
    default: nil
    }
  }
}
