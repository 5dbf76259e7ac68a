// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// A target that cannot be used: where it is wrong, and what is allowed there.
public struct TargetError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The class of fault, for programs; ``reason`` is for people.
  public enum Kind: Sendable, Hashable {
    /// Breaks the grammar: a bad percent escape, an unclosed bracket, a letter no host may have.
    case malformed
    /// No resolver has the scheme.
    case unknownScheme
    /// A host, path or agent address is needed and missing.
    case missingAddress
    /// A service name is needed and missing.
    case missingService
    /// A colon with no port behind it, or a port that is needed and missing.
    case missingPort
    /// A port that is not a number of 1...65535.
    case badPort
    /// A parameter that the resolver does not know.
    case unknownParameter
    /// A parameter whose value is not allowed.
    case badParameter
    /// The channel's load-balancing policy, or its default service config, cannot be used.
    case badBalancer
  }

  /// What kind of fault.
  public var kind: Kind
  /// As written, secrets (passwords, tokens) replaced by `*`.
  public var target: String
  /// Where the fault is, in characters of what the user wrote, from 1; 0 if the fault is not in the
  /// target.
  public var column: Int
  /// One line: what is wrong and what is allowed.
  public var reason: String

  /// For resolvers; ``Target/error(_:column:_:)`` fills in the target.
  public init(_ kind: Kind, target: String, column: Int, _ reason: String) {
    self.kind = kind
    self.target = Target.redacted(target)
    self.column = column
    self.reason = reason
  }

  /// `target "consul://:8500/x": column 10: …`
  public var description: String {
    column > 0
      ? "target \"\(target)\": column \(column): \(reason)" : "target \"\(target)\": \(reason)"
  }
}
