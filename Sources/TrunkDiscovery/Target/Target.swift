// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The parts of what a channel connects to (naming.md, RFC 3986 §3):
/// `scheme://authority/endpoint?parameters`, `scheme:endpoint`, or an endpoint alone.
///
/// Percent escapes are decoded in every part. An endpoint alone has no scheme: the channel's
/// registry chooses one (``ResolverRegistry/find(_:)``).
public struct Target: Sendable, Hashable {
  /// In lower case; nil if none was written.
  public internal(set) var scheme: String?
  /// Between `//` and the next `/`; empty if none was written.
  public let authority: String
  /// What follows, up to the `?`, with its leading slash if it has one.
  public let path: String
  /// In the order written; a name may repeat.
  public let parameters: [Parameter]
  /// What the user wrote; may hold secrets (``description`` does not).
  public let text: String

  /// Where the parts begin in ``text``, in characters from 1: for errors.
  public let authorityColumn: Int
  /// As ``authorityColumn``, of the path.
  public let pathColumn: Int

  /// One `name=value` behind the `?`.
  public struct Parameter: Sendable, Hashable {
    /// Percent escapes decoded.
    public let name: String
    /// Empty for a name without `=`.
    public let value: String
    /// Where it begins in the target's text, in characters from 1.
    public let column: Int
  }

  /// The path without its leading slash: the name that a resolver looks up.
  public var endpoint: String { path.hasPrefix("/") ? String(path.dropFirst()) : path }

  /// Where ``endpoint`` begins in ``text``.
  public var endpointColumn: Int { path.hasPrefix("/") ? pathColumn + 1 : pathColumn }

  /// The first value of a parameter, nil if it is not there.
  public subscript(parameter name: String) -> String? {
    parameters.first { $0.name == name }?.value
  }
  /// All values of a parameter, in the order written.
  public subscript(all name: String) -> [String] {
    parameters.filter { $0.name == name }.map(\.value)
  }

  /// Splits a target. `localhost:50051` has the scheme `localhost` here, as by RFC 3986;
  /// ``ResolverRegistry/find(_:)`` takes it as a host.
  /// - Throws: ``TargetError`` for an empty target or a broken percent escape.
  public static func parse(_ text: String) throws(TargetError) -> Target {
    try TargetParser(text).parse()
  }

  /// An error about this target, for resolvers.
  public func error(_ kind: TargetError.Kind, column: Int, _ reason: String) -> TargetError {
    TargetError(kind, target: text, column: column, reason)
  }

  /// Refuses the first parameter that is not in `known`, and names those that are: a parameter that
  /// is silently ignored hides a mistake.
  /// - Throws: ``TargetError`` of kind `.unknownParameter`.
  public func rejectUnknownParameters(known: [String]) throws(TargetError) {
    guard let unknown = parameters.first(where: { !known.contains($0.name) }) else { return }
    let allowed =
      known.isEmpty
      ? "\(scheme.map { "\($0):" } ?? "this target") takes none"
      : "allowed: \(known.joined(separator: ", "))"
    throw error(
      .unknownParameter, column: unknown.column,
      "unknown parameter \"\(unknown.name)\"\(NearestName.hint(unknown.name, among: known)); \(allowed)"
    )
  }
}

extension Target: CustomStringConvertible {
  /// The text as written, with the characters of secrets replaced by `*`.
  public var description: String { Target.redacted(text) }

  /// Replaces a password (`//user:password@`) and the values of parameters with names of secrets,
  /// one `*` a character so that columns stay valid.
  static func redacted(_ text: String) -> String {
    var characters = Array(text)
    let query = characters.firstIndex(of: "?") ?? characters.count
    starPassword(in: &characters, before: query)

    var start = query + 1
    while start < characters.count {
      let end = characters[start...].firstIndex(of: "&") ?? characters.count
      if let equals = characters[start..<end].firstIndex(of: "=") {
        let name = String(characters[start..<equals]).lowercased()
        // A name with an escape may be any.
        let secret =
          name.contains("%") || ["token", "password", "secret"].contains { name.hasSuffix($0) }
        if secret { for i in (equals + 1)..<end { characters[i] = "*" } }
      }
      start = end + 1
    }
    return String(characters)
  }

  private static func starPassword(in characters: inout [Character], before query: Int) {
    guard
      let slash = characters[..<query].firstIndex(of: "/"), slash + 1 < query,
      characters[slash + 1] == "/"
    else { return }
    let end = characters[(slash + 2)..<query].firstIndex(of: "/") ?? query
    let authority = (slash + 2)..<end
    guard
      let at = characters[authority].lastIndex(of: "@")
        ?? authority.last(where: { characters[$0...].starts(with: "%40") }),
      let colon = characters[authority.lowerBound..<at].firstIndex(of: ":")
    else { return }
    for i in (colon + 1)..<at { characters[i] = "*" }
  }
}
