// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import ScriptedDNS
import Testing
import TrunkDiscovery
import TrunkSockets

@testable import Trunkcall

@Suite("dns resolver: SRV records, changed answers", .timeLimit(.minutes(1)))
struct DNSServiceTests {
  private static func server(_ services: [DNSServer.DNSRecord]) throws -> DNSServer {
    try DNSServer { name, type in
      switch (name, type) {
      case ("svc.example", 33), ("_grpc._tcp.svc.example", 33): .init(records: services)
      case ("a.example", 1): .init(records: [.init(1, [10, 0, 0, 1])])
      case ("a.example", _): .init(records: [.init(28, [UInt8](repeating: 0, count: 15) + [9])])
      case ("b.example", 1): .init(records: [.init(1, [10, 0, 0, 2], ttl: 20)])
      case ("b.example", _): .init(records: [])
      default: .init(responseCode: 3)
      }
    }
  }

  @Test(
    "srv asks for the name as written, srv=grpc for _grpc._tcp; hosts are looked up there as well",
    arguments: [
      ("svc.example?srv", "svc.example"), ("svc.example?srv=grpc", "_grpc._tcp.svc.example"),
    ])
  func services(_ text: String, _ asked: String) async throws {
    let server = try DNSServiceTests.server([
      .service("a.example", 1001, weight: 5), .service("b.example", 1002, weight: 9),
      .service("c.example", 1003, priority: 7),
    ])
    defer { server.stop() }
    let line = Line()
    let resolution = try await line.first("dns://127.0.0.1:\(server.port)/\(text)")
    #expect(
      resolution.endpoints.map(\.addresses) == [
        [Address("::9", 1001), Address("10.0.0.1", 1001)], [Address("10.0.0.2", 1002)],
      ])
    #expect(resolution.endpoints.map(\.weight) == [5, 9])
    #expect(resolution.endpoints.allSatisfy { $0.serverName == nil })
    #expect(
      resolution.note == "dns \(asked) by 127.0.0.1:\(server.port): 2 servers, "
        + "1 host without an address")
    #expect(server.questions.first == "\(asked) 33")
  }

  @Test("every priority is used if that is asked for")
  func allPriorities() async throws {
    let server = try DNSServiceTests.server([
      .service("b.example", 1002, priority: 9), .service("a.example", 1001, priority: 3),
    ])
    defer { server.stop() }
    let all = try await Line().first(
      "dns://127.0.0.1:\(server.port)/svc.example?srv&priorities=all")
    #expect(all.endpoints.map(\.attributes["dns.srv.priority"]) == ["3", "9"])
    let first = try await Line().first("dns://127.0.0.1:\(server.port)/svc.example?srv")
    #expect(first.endpoints.map(\.attributes["dns.srv.priority"]) == ["3"])
  }

  @Test("no name, no record, no service and no address are errors that say which")
  func errors() async throws {
    for (services, name, reason) in [
      ([], "svc.example", "the name has no SRV record (NODATA)"),
      ([.service("", 1)], "svc.example", "the service is not offered (SRV target \".\")"),
      ([.service("x.example", 1)], "svc.example", "no host of its SRV records has an address"),
      ([], "none.example", "no such name (NXDOMAIN)"),
    ] as [([DNSServer.DNSRecord], String, String)] {
      let server = try DNSServiceTests.server(services)
      defer { server.stop() }
      do {
        _ = try await Line().first("dns://127.0.0.1:\(server.port)/\(name)?srv")
        Issue.record("found")
      } catch { #expect("\(error)".contains(reason), "\(error)") }
    }
  }

  @Test("a host that is not answered holds up the others for a second, and is asked for again soon")
  func silentHost() async throws {
    let server = try DNSServer { name, type in
      switch (name, type) {
      case ("svc.example", 33):
        .init(records: [.service("a.example", 1), .service("slow.example", 2)])
      case ("slow.example", _): nil
      default: .init(records: [.init(1, [10, 0, 0, 1])])
      }
    }
    defer { server.stop() }
    let resolution = try await Line().first("dns://127.0.0.1:\(server.port)/svc.example?srv")
    #expect(resolution.endpoints.map(\.addresses) == [[Address("10.0.0.1", 1)]])
    #expect(resolution.note?.hasSuffix(": 1 server, 1 host not answered in full yet") == true)
  }

  @Test("the service config is that of the target's name, not of the service's")
  func config() async throws {
    let json = #"grpc_config=[{"serviceConfig":{"loadBalancingPolicy":"round_robin"}}]"#
    let server = try DNSServer { name, type in
      switch (name, type) {
      case ("_grpc_config.svc.example", 16):
        .init(records: [.init(16, [UInt8(json.utf8.count)] + Array(json.utf8))])
      case ("_grpc._tcp.svc.example", 33): .init(records: [.service("a.example", 1)])
      case ("a.example", 1): .init(records: [.init(1, [10, 0, 0, 1])])
      default: .init(responseCode: 3)
      }
    }
    defer { server.stop() }
    let resolution = try await Line().first(
      "dns://127.0.0.1:\(server.port)/_grpc._tcp.svc.example?srv",
      by: DNSResolver(serviceConfig: true))
    #expect(resolution.serviceConfig?.balancer == "round_robin")
  }

  @Test("calls are for the target's name, without the labels of service and protocol")
  func authority() throws {
    for (text, authority) in [
      ("dns:///_grpc._tcp.svc.example?srv", "svc.example"),
      ("dns:///svc.example?srv=grpc", "svc.example"), ("dns:///svc.example:7", "svc.example:7"),
      ("dns:///_odd.example:7", "_odd.example:7"),
    ] {
      #expect(try DNSResolver().authority(of: Target.parse(text)) == authority)
    }
  }

  @Test(
    "a port, a literal, a bad service or priority is refused with its place",
    arguments: [
      ("dns:///a:1?srv", TargetError.Kind.badParameter, 12),
      ("dns:///[::1]?srv", .badParameter, 14),
      ("dns:///a?srv=_x", .badParameter, 10), ("dns:///a?srv&priorities=some", .badParameter, 14),
      ("dns:///a?priorities=all", .badParameter, 10), ("dns:///a?x", .unknownParameter, 10),
    ])
  func refusals(_ text: String, _ kind: TargetError.Kind, _ column: Int) throws {
    let error = #expect(throws: TargetError.self) {
      try DNSResolver().validate(Target.parse(text))
    }
    #expect(error?.kind == kind && error?.column == column)
  }

  @Test(
    "an answer with TTL 1 s is looked up again without a request; a bad one later changes nothing",
    arguments: [DNSResolver(), DNSResolver(minimumInterval: .milliseconds(100))])
  func channel(_ resolver: DNSResolver) async throws {
    try await Named.withServers(2) { ports in
      let answer = Answer(ports[0])
      let dns = try DNSServer { _, type in
        switch type {
        case 33:
          if let port = answer.port.withLock({ $0 }) {
            .init(records: [.service("a.example", port, ttl: 1)])
          } else {
            .init(responseCode: 3)
          }
        case 1: .init(records: [.init(1, [127, 0, 0, 1], ttl: 1)])
        default: .init(records: [])
        }
      }
      defer { dns.stop() }
      try await withChannel(
        to: "dns://127.0.0.1:\(dns.port)/svc.example?srv",
        resolvers: [resolver]
      ) { channel in
        #expect(try await channel.unary(Named.method, []) == [1])
        answer.port.withLock { $0 = ports[1] }
        while try await channel.unary(Named.method, []) != [2] {
          try await Task.sleep(for: .milliseconds(20))
        }
        answer.port.withLock { $0 = nil }
        let before = dns.questions.count
        while dns.questions.count < before + 3 { try await Task.sleep(for: .milliseconds(20)) }
        #expect(try await channel.unary(Named.method, []) == [2])
      }
    }
  }

  private final class Answer: Sendable {
    let port: Locked<UInt16?>
    init(_ port: UInt16) { self.port = Locked(port) }
  }
}
