// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import ScriptedDNS
import Testing

@testable import TrunkSockets

@Suite("DNS queries")
struct DNSQueryTests {
  private func start(
    ip: String = "127.0.0.1", _ answer: @escaping DNSServer.Answer
  ) throws -> (DNSServer, DNSQuery.Server) {
    let server = try DNSServer(ip: ip, answer)
    return (server, .chosen(.host(ip, server.port)))
  }

  @Test(
    "the chosen server is asked for both families, over IPv4 and IPv6",
    arguments: ["127.0.0.1", "::1"])
  func chosen(_ ip: String) async throws {
    let v6 = [UInt8](repeating: 0, count: 15) + [5]
    let (server, chosen) = try start(ip: ip) { _, _ in
      .init(records: [.init(1, [10, 0, 0, 1]), .init(1, [10, 0, 0, 2]), .init(28, v6)])
    }
    defer { server.stop() }
    let found = try await DNSQuery.addresses(
      of: "svc.example", port: 7, from: chosen, timeout: .seconds(10))
    let expected: [Destination] = [
      .host("::5", 7), .host("10.0.0.1", 7), .host("10.0.0.2", 7),
    ]
    #expect(found.values.map(\.destination) == expected)
    #expect(server.questions.sorted() == ["svc.example 1", "svc.example 28"])
  }

  @Test("a name without records is an empty answer, a name that is not there an error that says so")
  func nothing() async throws {
    let (server, chosen) = try start { name, _ in
      .init(responseCode: name == "gone.example" ? 3 : 0)
    }
    defer { server.stop() }
    let found = try await DNSQuery.addresses(
      of: "bare.example", port: 7, from: chosen, timeout: .seconds(10))
    #expect(found.values.isEmpty && found.timeToLive == nil)
    let error = await #expect(throws: SocketError.self) {
      try await DNSQuery.addresses(
        of: "gone.example", port: 7, from: chosen, timeout: .seconds(10))
    }
    #expect(
      error?.description
        == "look-up of gone.example by DNS server 127.0.0.1:\(server.port): no such name (NXDOMAIN)"
    )
  }

  @Test("texts come whole, strings joined")
  func texts() async throws {
    let (server, chosen) = try start { _, _ in
      .init(records: [.init(16, [2, 0x61, 0x62, 1, 0x63])])
    }
    defer { server.stop() }
    let texts = try await DNSQuery.texts(of: "t.example", from: chosen, timeout: .seconds(10))
    #expect(texts.values == [Array("abc".utf8)])
  }

  @Test("SRV records come in the answer's order, with their time to live")
  func services() async throws {
    let (server, chosen) = try start { _, _ in
      .init(records: [.service("b.example", 2, ttl: 40), .service("a.example", 1, ttl: 50)])
    }
    defer { server.stop() }
    let found = try await DNSQuery.services(of: "_x._tcp.e", from: chosen, timeout: .seconds(10))
    #expect(found.values.map(\.port) == [2, 1] && found.timeToLive == 40)
    #expect(server.questions == ["_x._tcp.e 33"])
  }

  @Test("a DNS server's address may have a zone, by name or number", arguments: ["lo", "1"])
  func zone(_ zone: String) async throws {
    let server = try DNSServer(ip: "::1") { _, _ in .init(records: [.init(1, [10, 0, 0, 1])]) }
    defer { server.stop() }
    let found = try await DNSQuery.addresses(
      of: "a.example", port: 7, from: .chosen(.host("::1%\(zone)", server.port)),
      timeout: .seconds(10))
    #expect(found.values.map(\.destination) == [.host("10.0.0.1", 7)])
  }

  @Test("a server that keeps silent is given up in time")
  func silence() async throws {
    let (server, chosen) = try start { _, _ in nil }
    defer { server.stop() }
    let error = await #expect(throws: SocketError.self) {
      try await DNSQuery.texts(of: "t.example", from: chosen, timeout: .milliseconds(50))
    }
    #expect(error?.isTimeout == true)
  }
}
