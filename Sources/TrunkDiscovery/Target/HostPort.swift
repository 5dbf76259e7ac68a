// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// A host and an optional port: `name`, `name:50051`, `10.0.0.7:50051`, `[::1]:50051`, `[::1]`,
/// `::1`.
public struct HostPort: Sendable, Hashable {
  /// A name or an IP literal, without brackets; never empty.
  public let host: String
  /// nil if none was written.
  public let port: UInt16?

  /// Nothing is checked; ``init(parsing:)`` checks.
  public init(host: String, port: UInt16?) {
    self.host = host
    self.port = port
  }

  /// Why a text is no host and port.
  public struct Failure: Error, Sendable, Hashable, CustomStringConvertible {
    /// For the ``TargetError`` about it.
    public let kind: TargetError.Kind
    /// In characters from the start of the text, from 0.
    public let offset: Int
    /// One line: what is wrong and what is allowed.
    public let reason: String
    public var description: String { reason }
  }

  /// - Throws: ``Failure`` with kind `.missingAddress` (nothing before the colon), `.missingPort`
  ///   (nothing after it), `.badPort` or `.malformed`.
  public init(parsing text: some StringProtocol) throws(Failure) {
    let characters = Array(text)
    let hostEnd: Int
    if characters.first == "[" {
      hostEnd = try HostPort.bracketEnd(characters)
      host = String(characters[1..<(hostEnd - 1)])
      guard IPLiteral.isV6(host) else {
        throw Failure(
          kind: .malformed, offset: 1, reason: "\"\(host)\" is not an IPv6 address")
      }
    } else if IPLiteral.isV6(String(text)) {
      // A bare IPv6 literal can have no port: its last colon would be ambiguous.
      hostEnd = characters.count
      host = String(text)
    } else {
      hostEnd = characters.firstIndex(of: ":") ?? characters.count
      host = String(characters[..<hostEnd])
      try HostPort.check(name: characters[..<hostEnd])
      if characters[hostEnd...].count(where: { $0 == ":" }) > 1 {
        throw Failure(
          kind: .malformed, offset: hostEnd,
          reason: "more than one colon; an IPv6 address with a port is written [address]:port")
      }
    }
    guard hostEnd < characters.count else {
      port = nil
      return
    }
    port = try HostPort.port(String(characters[(hostEnd + 1)...]), offset: hostEnd + 1)
  }

  /// The index behind `]`, which ends the text or has a colon behind it.
  private static func bracketEnd(_ characters: [Character]) throws(Failure) -> Int {
    guard let bracket = characters.firstIndex(of: "]") else {
      throw Failure(kind: .malformed, offset: 0, reason: "\"[\" without \"]\"")
    }
    let end = bracket + 1
    guard end == characters.count || characters[end] == ":" else {
      throw Failure(
        kind: .malformed, offset: end, reason: "only a colon and a port may follow \"]\"")
    }
    return end
  }

  private static func check(name: ArraySlice<Character>) throws(Failure) {
    guard !name.isEmpty else {
      throw Failure(
        kind: .missingAddress, offset: 0, reason: "missing address; a host name or IP is needed")
    }
    // RFC 952 and 1123, and the underscore that container networks use.
    let bad = name.firstIndex {
      !($0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == "." || $0 == "_"))
    }
    if let bad {
      throw Failure(
        kind: .malformed, offset: bad,
        reason:
          "\"\(name[bad])\" cannot be in a host; allowed: letters, digits, \"-\", \".\", \"_\"")
    }
  }

  private static func port(_ text: String, offset: Int) throws(Failure) -> UInt16 {
    guard !text.isEmpty else {
      throw Failure(
        kind: .missingPort, offset: offset - 1, reason: "a colon without a port; allowed: 1-65535")
    }
    guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = UInt16(text), port > 0
    else {
      throw Failure(
        kind: .badPort, offset: offset, reason: "port \"\(text)\" is not a number; allowed: 1-65535"
      )
    }
    return port
  }

  /// The address, with a port for when none was written.
  public func address(defaultPort: UInt16) -> Address { Address(host, port ?? defaultPort) }

  /// Whether the host is an IP address: nothing needs to be looked up.
  public var isLiteral: Bool { IPLiteral.isV4(host) || IPLiteral.isV6(host) }
}

extension HostPort: CustomStringConvertible {
  public var description: String {
    let bracketed = host.contains(":") ? "[\(host)]" : host
    return port.map { "\(bracketed):\($0)" } ?? bracketed
  }
}

extension Target {
  /// The endpoint as a host and an optional port.
  /// - Throws: ``TargetError`` as of ``hostPort(_:column:)``.
  public func endpointHostPort() throws(TargetError) -> HostPort {
    try hostPort(endpoint, column: endpointColumn)
  }

  /// The authority as a host and an optional port; nil if it is empty.
  /// - Throws: ``TargetError`` for a user or password, or as of ``hostPort(_:column:)``.
  public func authorityHostPort() throws(TargetError) -> HostPort? {
    guard !authority.isEmpty else { return nil }
    // Checked before the port: an error must not quote a password as one.
    guard !authority.contains("@") else {
      throw error(
        .malformed, column: authorityColumn, "no user or password is allowed; allowed: host[:port]")
    }
    return try hostPort(authority, column: authorityColumn)
  }

  /// A part of this target as a host and an optional port.
  /// - Parameter column: where the part begins in the target's text.
  /// - Throws: ``TargetError`` with the kind and reason of ``HostPort/Failure``.
  public func hostPort(_ part: some StringProtocol, column: Int) throws(TargetError) -> HostPort {
    do throws(HostPort.Failure) {
      return try HostPort(parsing: part)
    } catch {
      throw self.error(error.kind, column: column + error.offset, error.reason)
    }
  }
}
