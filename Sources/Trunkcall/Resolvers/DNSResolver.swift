// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import TrunkDiscovery
internal import TrunkSockets

/// `dns:///host[:port]`: every address of the name is an endpoint of its own (port 443 unless
/// written). `dns://server[:53]/host[:port]` asks that DNS server; without one the system is asked
/// (`getaddrinfo`: /etc/hosts, nsswitch, search domains). An IP literal needs no look-up.
///
/// Looks again whenever the channel asks for a fresher answer. No address is a failed look-up: the
/// channel keeps what it has and backs off. Source: gRPC `doc/naming.md`, gRFC A2.
public struct DNSResolver: Resolver {
  public var scheme: String { "dns" }

  /// Whether to read a service config from the TXT record `_grpc_config.NAME` (gRFC A2). Default:
  /// no, as whoever can forge a DNS answer could then steer the calls.
  public var serviceConfig: Bool
  /// How long one look-up may take. Default 30 s, as in grpc-go.
  public var timeout: Duration

  public init(serviceConfig: Bool = false, timeout: Duration = .seconds(30)) {
    self.serviceConfig = serviceConfig
    self.timeout = timeout
  }

  public func validate(_ target: Target) throws(TargetError) { _ = try DNSTarget(target) }

  public func resolve(_ target: Target, _ session: ResolverSession) async throws {
    let name = try DNSTarget(target)
    if let answer = name.immediate {
      session.report(answer)
      while true { try await session.refreshRequested() }
    }
    while true {
      session.report(try await lookUp(name))
      try await session.refreshRequested()
    }
  }

  private func lookUp(_ name: DNSTarget) async throws -> Resolution {
    let config = try await serviceConfig(of: name)
    let found: [SocketAddress]
    if let server = name.server {
      found = try await DNSQuery.addresses(
        of: name.host, port: name.port, from: .chosen(server.destination), timeout: timeout)
    } else {
      found = try await HostLookup.addresses(of: .host(name.host, name.port), timeout: timeout)
    }
    var seen: Set<Address> = []
    let addresses = found.map { Address($0.destination) }.filter { seen.insert($0).inserted }
    let source = name.server.map { " by \($0)" } ?? ""
    guard !addresses.isEmpty else {
      throw SocketError(
        "look-up", errno: 0, detail: "look-up of \(name.host)\(source): the name has no address")
    }
    let count = addresses.count == 1 ? "1 address" : "\(addresses.count) addresses"
    return Resolution(
      addresses.map { Endpoint($0) }, serviceConfig: config,
      note: "dns \(name.host)\(source): \(count)")
  }

  /// No record, or none that is meant for us: no config. A bad one fails the look-up (A21: it never
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
