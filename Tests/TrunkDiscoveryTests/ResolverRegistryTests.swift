// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Synchronization
import Testing
import TrunkDiscovery

/// Accepts what the dns resolver accepts; looks nothing up.
private struct FakeDNS: Resolver {
  var scheme = "dns"
  func validate(_ target: Target) throws(TargetError) { _ = try DNSTarget(target) }
  func resolve(_ target: Target, _ session: ResolverSession) async throws {}
}

private func find(_ text: String) throws(TargetError) -> (Target, any Resolver) {
  var registry = ResolverRegistry.literal
  registry.register(FakeDNS())
  return try registry.find(text)
}

@Suite struct ResolverRegistryTests {
  @Test(
    "no scheme, or a host that looks like one, means the default scheme",
    arguments: ["name", "localhost:50051", "name:80", "10.0.0.1:80", "[::1]:80", "::1"])
  func defaultScheme(_ text: String) throws {
    let (target, resolver) = try find(text)
    #expect(resolver.scheme == "dns")
    #expect(target.scheme == "dns")
    #expect(target.endpoint == text)
  }

  @Test("the default scheme is settable") func settable() throws {
    var registry = ResolverRegistry.literal
    registry.defaultScheme = "passthrough"
    #expect(try registry.find("host:1").1.scheme == "passthrough")
  }

  @Test(
    "each kind of mistake has its own error and column",
    arguments: [
      (
        "consul://:8500/x", .unknownScheme, 1,
        "unknown scheme \"consul\": add the resolver with resolvers: [.consul()]"
      ),
      ("dsn:///name", .unknownScheme, 1, "unknown scheme \"dsn\", did you mean dns?"),
      ("uni:/tmp/x", .unknownScheme, 1, "unknown scheme \"uni\", did you mean unix?"),
      ("etcd:name", .unknownScheme, 1, "unknown scheme \"etcd\""),
      ("localhost:", .missingPort, 10, "a colon without a port"),
      ("localhost:99999", .badPort, 11, "port \"99999\""),
      ("dns:///", .missingAddress, 8, "missing address"),
      ("dns:///name:", .missingPort, 12, "a colon without a port"),
      ("dns://:53/name", .missingAddress, 7, "missing address"),
      ("dns://me:secret@h/name", .malformed, 7, "no user or password"),
      ("dns:///name?x=1", .unknownParameter, 13, "unknown parameter \"x\""),
      ("passthrough:///host", .missingPort, 20, "missing port"),
      ("passthrough://host:1", .malformed, 15, "takes no authority"),
      ("ipv4:1.2.3.4:1,", .missingAddress, 16, "missing address"),
      ("ipv4:1.2.3.4,name:2", .malformed, 14, "no IPv4 address"),
      ("ipv6:1.2.3.4", .malformed, 6, "no IPv6 address"),
      ("unix:", .missingAddress, 6, "missing path"),
    ] as [(String, TargetError.Kind, Int, String)])
  func mistakes(_ text: String, _ kind: TargetError.Kind, _ column: Int, _ says: String) {
    let error = #expect(throws: TargetError.self) { try find(text) }
    #expect(error?.kind == kind)
    #expect(error?.column == column)
    #expect(error?.reason.contains(says) == true, "\(error?.reason ?? "")")
    #expect(error?.reason.contains("\n") == false)
    #expect(error?.description.contains("secret") == false)
  }

  @Test("an unknown scheme names those that are known") func names() {
    let error = #expect(throws: TargetError.self) { try find("zk://a/b") }
    #expect(
      error?.description == "target \"zk://a/b\": column 1: unknown scheme \"zk\"; "
        + "allowed: dns, ipv4, ipv6, passthrough, unix, unix-abstract")
  }

  @Test(
    "resolvers without look-ups report once, then wait for the channel's end",
    arguments: [
      ("passthrough:///name:1", [[Address("name", 1)]]),
      ("ipv4:1.2.3.4:5,6.7.8.9", [[Address("1.2.3.4", 5)], [Address("6.7.8.9", 443)]]),
      ("ipv6:[::1]:5,[::2]", [[Address("::1", 5)], [Address("::2", 443)]]),
      ("unix:a/b", [[.unix("a/b")]]), ("unix:///a/b", [[.unix("/a/b")]]),
      ("unix-abstract:n", [[.unixAbstract("n")]]),
    ] as [(String, [[Address]])])
  func answers(_ text: String, _ expected: [[Address]]) async throws {
    let (target, resolver) = try find(text)
    let reported = Mutex<[Resolution]>([])
    let session = ResolverSession(
      onReport: { resolution in reported.withLock { $0.append(resolution) } },
      onRefresh: { throw CancellationError() })
    await #expect(throws: CancellationError.self) { try await resolver.resolve(target, session) }
    #expect(reported.withLock { $0 } == [Resolution(expected.map { Endpoint($0) })])
  }

  @Test("an :authority is never a list or a path") func authority() throws {
    for (text, authority) in [
      ("ipv4:1.2.3.4:5,6.7.8.9:1", "1.2.3.4:5"), ("unix:/x", "localhost"), ("name:1", "name:1"),
    ] {
      let (target, resolver) = try find(text)
      #expect(resolver.authority(of: target) == authority)
    }
  }

  @Test("dns: port 443 and server port 53 unless written; a literal is answered at once")
  func dns() throws {
    let plain = try DNSTarget(find("dns:///name").0)
    #expect(plain.port == 443 && plain.server == nil && plain.immediate == nil)
    let asked = try DNSTarget(find("dns://8.8.8.8/name:1").0)
    #expect(asked.port == 1 && asked.server == Address("8.8.8.8", 53))
    #expect(try DNSTarget(find("dns://[::1]:5353/n").0).server == Address("::1", 5353))
    #expect(
      try DNSTarget(find("[::1]:50051").0).immediate
        == Resolution([Endpoint(Address("::1", 50051))]))
    #expect(
      try DNSTarget(find("1.2.3.4").0).immediate == Resolution([Endpoint(Address("1.2.3.4", 443))])
    )
  }
}
