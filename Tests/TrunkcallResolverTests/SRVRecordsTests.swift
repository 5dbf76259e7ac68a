// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import ScriptedDNS
import Testing
import TrunkDiscovery
import TrunkSockets

@testable import Trunkcall

@Suite("SRV records (RFC 2782)") struct SRVRecordsTests {
  private func service(
    _ target: String, _ port: UInt16, priority: UInt16 = 0, weight: UInt16 = 1
  ) -> DNSMessage.Service {
    .init(priority: priority, weight: weight, port: port, target: DNSWire.name(target))
  }

  private func answers(_ records: SRVRecords, without bare: String? = nil) -> SRVAnswers {
    var answers = SRVAnswers(records)
    for (i, host) in records.hosts.enumerated() {
      answers.add(host, host == bare ? [] : [Address("10.0.0.\(i + 1)", 0)])
    }
    return answers
  }

  private func ports(_ endpoints: [Endpoint]) -> [UInt16] {
    endpoints.map { if case .host(_, let port)? = $0.addresses.first { port } else { 0 } }
  }

  @Test(
    "the lowest priority number is used, in the answer's order; port and weight are the record's")
  func lowest() {
    let records = SRVRecords(
      [
        service("c.e", 3, priority: 20), service("b.e", 2, priority: 10, weight: 7),
        service("a.e", 1, priority: 10, weight: 0),
      ], allPriorities: false)
    #expect(records.hosts == ["b.e", "a.e", "c.e"])
    #expect(
      answers(records).endpoints == [
        Endpoint(
          [Address("10.0.0.1", 2)], weight: 7,
          attributes: ["dns.srv.priority": "10", "dns.srv.target": "b.e"]),
        Endpoint(
          [Address("10.0.0.2", 1)], weight: 1,
          attributes: ["dns.srv.priority": "10", "dns.srv.target": "a.e"]),
      ])
  }

  @Test("a priority without an address gives way to the next one, and the note says so")
  func fallback() {
    let records = SRVRecords(
      [service("a.e", 1, priority: 1), service("b.e", 2, priority: 2)], allPriorities: false)
    let answers = answers(records, without: "a.e")
    #expect(ports(answers.endpoints) == [2])
    #expect(answers.remark == ", 1 host without an address")
  }

  @Test("priorities=all has every one, in their order, for the children 0, 1 and so on")
  func all() {
    let records = SRVRecords(
      [
        service("c.e", 3, priority: 30), service("a.e", 1, priority: 1),
        service("a.e", 2, priority: 2),
      ], allPriorities: true)
    #expect(records.hosts == ["a.e", "c.e"])
    let endpoints = answers(records).endpoints
    #expect(ports(endpoints) == [1, 2, 3])
    #expect(endpoints.map(\.childPath) == [["0"], ["1"], ["2"]])
    let rest = answers(records, without: "a.e").endpoints
    #expect(rest.map(\.childPath) == [["2"]])
  }

  @Test("no record, a root alone, no port, no host name: each is refused with its reason")
  func refusals() {
    func refusal(_ found: [DNSMessage.Service]) -> String? {
      SRVRecords(found, allPriorities: false).refusal
    }
    #expect(refusal([]) == "the name has no SRV record (NODATA)")
    #expect(refusal([service("", 1)]) == "the service is not offered (SRV target \".\")")
    #expect(refusal([service("a.e", 0)]) == "no SRV record has a host name and a port")
    #expect(
      refusal([.init(priority: 0, weight: 0, port: 1, target: [1, 0x20, 0])])
        == "no SRV record has a host name and a port")
    #expect(refusal([service("a.e", 1)]) == nil)
  }

  @Test(
    "records beyond the limit are the last ones, and are counted in the note; a copy is not used")
  func limit() {
    let found = (0..<300).map { service("h\($0).e", 1, priority: UInt16($0)) }
    let records = SRVRecords(found.reversed(), allPriorities: true)
    #expect(records.records.count == SRVRecords.limit && records.hosts.first == "h0.e")
    #expect(records.remark == ", 44 SRV records not used")
    let copies = SRVRecords([service("a.e", 1), service("a.e", 1)], allPriorities: true)
    #expect(copies.records.count == 1)
  }
}
