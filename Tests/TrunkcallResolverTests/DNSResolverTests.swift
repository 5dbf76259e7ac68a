// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import ScriptedDNS
import Testing
import TrunkDiscovery
import TrunkSockets
import Trunkcall

@Suite("dns resolver", .timeLimit(.minutes(1)))
struct DNSResolverTests {
  private static let twoAddresses: DNSServer.Answer = { name, _ in
    name == "svc.example"
      ? .init(records: [.init(1, [10, 0, 0, 1]), .init(1, [10, 0, 0, 2])])
      : .init(responseCode: 3)
  }

  @Test(
    "an IP literal is answered at once; the port is 443 unless written",
    arguments: [
      ("dns:///10.1.2.3", Address("10.1.2.3", 443)), ("dns:///10.1.2.3:7", Address("10.1.2.3", 7)),
      ("dns:///[::1]:7", Address("::1", 7)), ("dns:[::1]", Address("::1", 443)),
      ("dns:///[fe80::1%25eth0]:7", Address("fe80::1%eth0", 7)),
    ])
  func literals(_ text: String, _ address: Address) async throws {
    let resolution = try await Line().first(text)
    #expect(resolution.endpoints == [Endpoint(address)])
  }

  @Test("the system's look-up knows localhost; every address is an endpoint of its own")
  func localhost() async throws {
    let resolution = try await Line().first("dns:///localhost:50051")
    #expect(!resolution.endpoints.isEmpty)
    for endpoint in resolution.endpoints {
      #expect(endpoint.addresses.count == 1)
      #expect(
        [Address("127.0.0.1", 50051), Address("::1", 50051)].contains(endpoint.addresses.first))
    }
  }

  @Test("an authority is the DNS server that is asked")
  func chosenServer() async throws {
    let server = try DNSServer(DNSResolverTests.twoAddresses)
    defer { server.stop() }
    let resolution = try await Line().first("dns://127.0.0.1:\(server.port)/svc.example:7")
    #expect(
      resolution.endpoints == [Endpoint(Address("10.0.0.1", 7)), Endpoint(Address("10.0.0.2", 7))])
    #expect(resolution.note == "dns svc.example by 127.0.0.1:\(server.port): 2 addresses")
    #expect(resolution.serviceConfig == nil)
    #expect(!server.questions.contains { $0.hasPrefix("_grpc_config") })
  }

  @Test(
    "a family that the server answers does not wait for the other; a late answer is reported too")
  func lateFamily() async throws {
    let asked = Locked(0)
    let v6 = [UInt8](repeating: 0, count: 15) + [5]
    let server = try DNSServer { _, type in
      guard type == 28 else { return .init(records: [.init(1, [10, 0, 0, 1])]) }
      let count = asked.withLock { asked in
        asked += 1
        return asked
      }
      // The first question is lost; libresolv asks again after 3 s.
      return count == 1 ? nil : .init(records: [.init(28, v6)])
    }
    defer { server.stop() }
    let line = Line()
    let target = try Target.parse("dns://127.0.0.1:\(server.port)/svc.example:7")
    let running = Task { try await DNSResolver().resolve(target, line.session) }
    defer { running.cancel() }
    var reports = line.reports.makeAsyncIterator()
    let first = await reports.next()
    #expect(first?.endpoints == [Endpoint(Address("10.0.0.1", 7))])
    #expect(
      first?.note == "dns svc.example by 127.0.0.1:\(server.port): 1 address, "
        + "the other address family is not answered")
    let second = await reports.next()
    #expect(second?.endpoints == [Endpoint(Address("::5", 7)), Endpoint(Address("10.0.0.1", 7))])
    #expect(second?.note == "dns svc.example by 127.0.0.1:\(server.port): 2 addresses")
  }

  @Test(
    "the next look-up is due after the smallest time to live, 0 as 30 s, and after maximumAge",
    arguments: [(40, nil, 40), (0, nil, 30), (40, 5, 5), (3, 5, 3)] as [(UInt32, Int?, Int)])
  func timeToLive(_ ttl: UInt32, _ maximumAge: Int?, _ expected: Int) async throws {
    let server = try DNSServer { _, _ in
      .init(records: [.init(1, [10, 0, 0, 1], ttl: 50), .init(1, [10, 0, 0, 2], ttl: ttl)])
    }
    defer { server.stop() }
    let line = Line()
    let target = try Target.parse("dns://127.0.0.1:\(server.port)/svc.example")
    let resolver = DNSResolver(maximumAge: maximumAge.map { .seconds($0) })
    let running = Task { try await resolver.resolve(target, line.session) }
    defer { running.cancel() }
    var ages = line.ages.makeAsyncIterator()
    #expect(await ages.next() == .seconds(expected))
  }

  @Test("the system's answers have no time to live: only maximumAge bounds them")
  func systemAge() async throws {
    for maximumAge in [nil, Duration.seconds(9)] {
      let line = Line()
      let target = try Target.parse("dns:///localhost:1")
      let running = Task {
        try await DNSResolver(maximumAge: maximumAge).resolve(target, line.session)
      }
      defer { running.cancel() }
      var ages = line.ages.makeAsyncIterator()
      #expect(await ages.next() == .some(maximumAge))
    }
  }

  @Test("it looks again when the channel asks, and only then")
  func refresh() async throws {
    let last = Locked<UInt8>(0)
    let server = try DNSServer { _, type in
      let number = last.withLock { last in
        if type == 1 { last += 1 }
        return last
      }
      return .init(records: [.init(1, [10, 0, 0, number])])
    }
    defer { server.stop() }
    let line = Line()
    let target = try Target.parse("dns://127.0.0.1:\(server.port)/svc.example")
    let running = Task { try await DNSResolver().resolve(target, line.session) }
    var reports = line.reports.makeAsyncIterator()
    for number in 1...3 as ClosedRange<UInt8> {
      let resolution = await reports.next()
      #expect(resolution?.endpoints == [Endpoint(Address("10.0.0.\(number)", 443))])
      // The other family's question may still be under way.
      for _ in 0..<5_000 where server.questions.count < 2 * Int(number) {
        try await Task.sleep(for: .milliseconds(2))
      }
      #expect(server.questions.count == 2 * Int(number))
      line.refresh.yield()
    }
    running.cancel()
    await #expect(throws: CancellationError.self) { try await running.value }
  }

  @Test("a name that is not there, or has no address, is an error that says what was said")
  func errors() async throws {
    let server = try DNSServer { name, _ in .init(responseCode: name == "bare.example" ? 0 : 3) }
    defer { server.stop() }
    let port = server.port
    for (name, said) in [
      ("gone.example", "by DNS server 127.0.0.1:\(port): no such name (NXDOMAIN)"),
      ("bare.example", "by 127.0.0.1:\(port): the name has no address (NODATA)"),
    ] {
      do {
        _ = try await Line().first("dns://127.0.0.1:\(port)/\(name)")
        Issue.record("\(name) was found")
      } catch { #expect("\(error)" == "look-up of \(name) \(said)") }
    }
  }

  private func server(config: String) throws -> DNSServer {
    let text = "grpc_config=" + config
    // A TXT record's strings are at most 255 bytes long (RFC 1035 §3.3).
    var data: [UInt8] = []
    var rest = ArraySlice(text.utf8)
    while !rest.isEmpty {
      data += [UInt8(rest.prefix(255).count)] + rest.prefix(255)
      rest = rest.dropFirst(255)
    }
    let record = DNSServer.DNSRecord(16, data)
    return try DNSServer { name, _ in
      .init(
        records: name == "_grpc_config.svc.example"
          ? [.init(16, [1, 0x78]), record] : [.init(1, [10, 0, 0, 1])])
    }
  }

  private func config(_ json: String) async throws -> ServiceConfig? {
    try await resolution(json).serviceConfig
  }

  private func resolution(_ json: String) async throws -> Resolution {
    let server = try server(config: json)
    defer { server.stop() }
    return try await Line().first(
      "dns://127.0.0.1:\(server.port)/svc.example", by: DNSResolver(serviceConfig: true))
  }

  @Test("a TXT record that is not answered holds up neither the addresses nor their next look-up")
  func silentConfig() async throws {
    let server = try DNSServer { name, _ in
      name.hasPrefix("_grpc_config") ? nil : .init(records: [.init(1, [10, 0, 0, 1])])
    }
    defer { server.stop() }
    let line = Line()
    let target = try Target.parse("dns://127.0.0.1:\(server.port)/svc.example")
    let running = Task {
      try await DNSResolver(serviceConfig: true).resolve(target, line.session)
    }
    defer { running.cancel() }
    var reports = line.reports.makeAsyncIterator()
    for _ in 0..<3 {
      let resolution = await reports.next()
      #expect(resolution?.endpoints == [Endpoint(Address("10.0.0.1", 443))])
      #expect(
        resolution?.note == "dns svc.example by 127.0.0.1:\(server.port): 1 address, "
          + "its service config is not known yet")
      line.refresh.yield()
    }
    // One look-up that is under way (libresolv asks twice), whatever the number of rounds.
    #expect(server.questions.count { $0.hasPrefix("_grpc_config") } <= 2)
  }

  @Test("a service config comes from TXT when that is switched on; the first fit counts (A2)")
  func serviceConfig() async throws {
    let wanted = #"{"loadBalancingPolicy":"round_robin"}"#
    let other = #"{"loadBalancingPolicy":"pick_first"}"#
    let padding = String(repeating: " ", count: 300)
    let found = try await config(
      #"[{"clientLanguage":["go","java"],"serviceConfig":\#(other)},\#(padding)"#
        + #"{"clientHostname":["no such host"],"serviceConfig":\#(other)},"#
        + #"{"percentage":0,"serviceConfig":\#(other)},"#
        + #"{"clientLanguage":["Swift"],"percentage":100,"serviceConfig":\#(wanted)},"#
        + #"{"serviceConfig":\#(other)}]"#)
    #expect(found?.balancer == "round_robin")
  }

  @Test("no choice that fits, or no record, is no config; a bad one is an error with its path")
  func noOrBadConfig() async throws {
    #expect(try await config(#"[{"clientLanguage":["go"],"serviceConfig":{}}]"#) == nil)
    let server = try DNSServer(DNSResolverTests.twoAddresses)
    defer { server.stop() }
    let resolution = try await Line().first(
      "dns://127.0.0.1:\(server.port)/svc.example", by: DNSResolver(serviceConfig: true))
    #expect(resolution.serviceConfig == nil && resolution.endpoints.count == 2)
    for (json, path) in [
      ("{}", "grpc_config"), (#"[{"percentage":101}]"#, "grpc_config[0].percentage"),
      (#"[{}]"#, "grpc_config[0].serviceConfig"),
      (#"[{"serviceConfig":{"loadBalancingPolicy":7}}]"#, "loadBalancingPolicy"),
    ] {
      let resolution = try await self.resolution(json)
      #expect(resolution.serviceConfigError?.path == path)
      #expect(resolution.endpoints == [Endpoint(Address("10.0.0.1", 443))])
    }
  }

  @Test("look-ups that hang for one family hold up nobody's other family")
  func hangingFamily() async throws {
    let server = try DNSServer { _, type in
      type == 28 ? nil : .init(records: [.init(1, [10, 0, 0, 1])])
    }
    defer { server.stop() }
    let first = try await withThrowingTaskGroup(of: [Endpoint].self) { group in
      // More than there are threads for a family: the last ones' IPv6 is never asked for at all.
      for _ in 0..<12 {
        group.addTask {
          try await Line().first("dns://127.0.0.1:\(server.port)/svc.example:7").endpoints
        }
      }
      return try await group.reduce(into: [[Endpoint]]()) { $0.append($1) }
    }
    #expect(first == Array(repeating: [Endpoint(Address("10.0.0.1", 7))], count: 12))
    #expect(server.questions.filter { $0 == "svc.example 28" }.count <= 4)
    // The threads of the family are occupied until libresolv gives up, and other tests need them:
    // an answer shows that it has.
    let v6 = [UInt8](repeating: 0, count: 15) + [5]
    let other = try DNSServer { _, _ in .init(records: [.init(28, v6)]) }
    defer { other.stop() }
    _ = try await Line().first("dns://127.0.0.1:\(other.port)/svc.example:7")
  }
}
