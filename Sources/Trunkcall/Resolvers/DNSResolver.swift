// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import TrunkDiscovery
internal import TrunkSockets

/// `dns:///host[:port]`: every address of the name is an endpoint of its own (port 443 unless
/// written). `dns://server[:53]/host[:port]` queries that DNS server; without one the system
/// resolves (`getaddrinfo`: /etc/hosts, nsswitch, search domains). An IP literal needs no look-up.
///
/// Both address families are queried at once. If only one is answered, the other is waited for 50
/// ms (RFC 8305 §3), then the known addresses are reported; later ones are reported as a second
/// result.
///
/// Resolves again whenever the channel asks for a fresher result. No address is a failed look-up:
/// the channel keeps its last result and backs off. Source: naming.md, gRFC A2.
public struct DNSResolver: Resolver {
  /// `dns`.
  public var scheme: String { "dns" }

  /// Whether to read a service config from the TXT record `_grpc_config.NAME` (gRFC A2). Default:
  /// no, since a forged DNS answer could then redirect calls.
  public var serviceConfig: Bool
  /// How long one look-up may take. Default 30 s, as in grpc-go.
  public var timeout: Duration

  /// - Parameters: see the properties of the same names.
  public init(serviceConfig: Bool = false, timeout: Duration = .seconds(30)) {
    self.serviceConfig = serviceConfig
    self.timeout = timeout
  }

  /// - Throws: ``TargetError`` for a missing or malformed host, port or server.
  public func validate(_ target: Target) throws(TargetError) { _ = try DNSTarget(target) }

  /// Reports a result, then one more after each refresh request.
  /// - Throws: if the look-up fails or finds no address.
  public func resolve(_ target: Target, _ session: ResolverSession) async throws {
    let name = try DNSTarget(target)
    if let answer = name.immediate {
      session.report(answer)
      while true { try await session.refreshRequested() }
    }
    while true {
      try await lookUp(name, session)
      try await session.refreshRequested()
    }
  }

  /// Reports the result: once, or twice if the answer for one address family is late.
  private func lookUp(_ name: DNSTarget, _ session: ResolverSession) async throws {
    let config = try await serviceConfig(of: name)
    let early = Locked<Set<Address>>([])
    let partial: @Sendable ([SocketAddress]) -> Bool = { found in
      let addresses = unique(found)
      early.withLock { $0 = Set(addresses) }
      session.report(
        resolution(name, addresses, config, ", the other address family is not answered"))
      return true
    }
    let found: [SocketAddress]
    if let server = name.server {
      found = try await DNSQuery.addresses(
        of: name.host, port: name.port, from: .chosen(server.destination), timeout: timeout,
        partial: partial)
    } else {
      found = try await HostLookup.addresses(
        of: .host(name.host, name.port), timeout: timeout, partial: partial)
    }
    let addresses = unique(found)
    guard !addresses.isEmpty else {
      throw SocketError(
        "look-up", errno: 0,
        detail: "look-up of \(name.host)\(source(name)): the name has no address")
    }
    guard early.withLock({ $0 }) != Set(addresses) else { return }
    session.report(resolution(name, addresses, config, ""))
  }

  private func unique(_ found: [SocketAddress]) -> [Address] {
    var seen: Set<Address> = []
    return found.map { Address($0.destination) }.filter { seen.insert($0).inserted }
  }

  private func resolution(
    _ name: DNSTarget, _ addresses: [Address], _ config: ServiceConfig?, _ remark: String
  ) -> Resolution {
    let count = addresses.count == 1 ? "1 address" : "\(addresses.count) addresses"
    return Resolution(
      addresses.map { Endpoint($0) }, serviceConfig: config,
      note: "dns \(name.host)\(source(name)): \(count)\(remark)")
  }

  private func source(_ name: DNSTarget) -> String { name.server.map { " by \($0)" } ?? "" }

  /// No record, or none for this client: no config. A bad one fails the look-up (gRFC A21: it never
  /// replaces a good one).
  private func serviceConfig(of name: DNSTarget) async throws -> ServiceConfig? {
    guard serviceConfig else { return nil }
    let server = name.server.map { DNSQuery.Server.chosen($0.destination) } ?? .system
    let texts: [[UInt8]]
    do {
      texts = try await DNSQuery.texts(
        of: "_grpc_config.\(name.host)", from: server, timeout: timeout)
    } catch is SocketError { return nil }
    return try ServiceConfigChoice(
      hostname: HostLookup.localName ?? "", percentile: Int.random(in: 0..<100)
    ).choose(from: texts)
  }
}
