// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import FoundationEssentials
import Testing
import TrunkDiscovery

@testable import TrunkConsul

@Suite("Instances to endpoints") struct InstanceMappingTests {
  private func map(_ json: String, _ change: (inout ConsulQuery) -> Void = { _ in }) throws
    -> InstanceMapping
  {
    var query = ConsulQuery("x")
    change(&query)
    let entries = try JSONDecoder().decode([HealthEntry].self, from: Data(json.utf8))
    return InstanceMapping(entries, for: query)
  }

  static let full = """
    [{"Node":{"ID":"u","Node":"n1","Address":"10.0.0.1","Datacenter":"dc1",
      "TaggedAddresses":{"lan":"10.0.0.1","wan":"8.8.8.8"},"Meta":{"rack":"7"},"New":[1]},
     "Service":{"ID":"x-1","Service":"x","Tags":["a","b"],"Address":"10.0.0.9","Port":5001,
      "TaggedAddresses":{"wan":{"Address":"1.2.3.4","Port":80}},"Meta":{"v":"2"},
      "Weights":{"Passing":3,"Warning":1},"EnableTagOverride":false,"Proxy":{}},
     "Checks":[{"Node":"n1","CheckID":"serfHealth","Status":"passing"}]}]
    """

  @Test("identity, weight, tags and metadata are kept") func full() throws {
    let endpoint = try #require(try map(Self.full).endpoints.first)
    #expect(endpoint.addresses == [.host("10.0.0.9", 5001)])
    #expect(endpoint.instanceID == "dc1/n1/x-1")
    #expect(endpoint.weight == 3)
    #expect(
      endpoint.attributes == [
        "consul.tags": "a,b", "consul.meta.v": "2", "consul.node": "n1",
        "consul.node-meta.rack": "7", "consul.datacenter": "dc1", "consul.service-id": "x-1",
        "consul.health": "passing",
      ])
  }

  @Test("tagged address, then service address, then node address") func addresses() throws {
    #expect(
      try map(Self.full) { $0.taggedAddress = "wan" }.endpoints[0].addresses == [
        .host("1.2.3.4", 80)
      ])
    #expect(
      try map(Self.full) { $0.taggedAddress = "lan" }.endpoints[0].addresses == [
        .host("10.0.0.9", 5001)
      ])
    let bare =
      #"[{"Node":{"Node":"n","Address":"10.0.0.2","TaggedAddresses":{"wan":"9.9.9.9"}},"#
      + #""Service":{"ID":"x","Address":"","Port":7},"Checks":null}]"#
    #expect(try map(bare).endpoints[0].addresses == [.host("10.0.0.2", 7)])
    #expect(
      try map(bare) { $0.taggedAddress = "wan" }.endpoints[0].addresses == [.host("9.9.9.9", 7)])
  }

  @Test("IPv6 loses its brackets, host names and socket paths pass on") func hosts() throws {
    func one(_ service: String) throws -> Address? {
      try map(#"[{"Node":{"Node":"n"},"Service":{"ID":"x",\#(service)}}]"#).endpoints.first?
        .addresses.first
    }
    #expect(try one(#""Address":"[::1]","Port":1"#) == .host("::1", 1))
    #expect(try one(#""Address":"::1","Port":1"#) == .host("::1", 1))
    #expect(try one(#""Address":"db.example","Port":1"#) == .host("db.example", 1))
    #expect(try one(#""SocketPath":"/run/x""#) == .unix("/run/x"))
  }

  @Test("no port: left out, and the note says so", arguments: [0, -1, 70_000])
  func noPort(port: Int) throws {
    let mapping = try map(
      #"[{"Node":{"Node":"n"},"Service":{"ID":"x","Address":"a","Port":\#(port)}}]"#)
    #expect(mapping.endpoints.isEmpty)
    #expect("\(mapping.counts)" == "1 instance, 1 passing (1 without a port)")
  }

  private static func entry(_ id: String, _ port: Int, _ statuses: String...) -> String {
    let checks = statuses.map { #"{"CheckID":"c","Status":"\#($0)"}"# }.joined(separator: ",")
    return #"{"Node":{"Node":"n"},"Service":{"ID":"\#(id)","Address":"h","Port":\#(port),"#
      + #""Weights":{"Passing":9,"Warning":2}},"Checks":[\#(checks)]}"#
  }

  @Test("the worst check decides; warning instances only when asked for")
  func states() throws {
    let json =
      "[\(Self.entry("b", 2, "passing", "warning")),\(Self.entry("a", 1, "passing")),"
      + "\(Self.entry("c", 3, "warning", "critical")),\(Self.entry("d", 4))]"
    let passing = try map(json)
    #expect(passing.endpoints.map(\.instanceID) == ["n/a", "n/d"])
    #expect("\(passing.counts)" == "4 instances, 2 passing (1 warning, 1 critical)")
    let warning = try map(json) { $0.health = .warning }
    #expect(warning.endpoints.map(\.instanceID) == ["n/a", "n/b", "n/d"])
    #expect(warning.endpoints.map(\.weight) == [9, 2, 9])
    #expect(try map(json) { $0.health = .any }.endpoints.count == 4)
  }

  @Test("two instances with one address become one, the better") func merged() throws {
    let json = "[\(Self.entry("a", 1, "warning")),\(Self.entry("b", 1, "passing"))]"
    #expect(try map(json) { $0.health = .warning }.endpoints.map(\.instanceID) == ["n/b"])
  }

  @Test("with near, the agent's order is kept") func near() throws {
    let json = "[\(Self.entry("b", 2)),\(Self.entry("a", 1))]"
    #expect(try map(json) { $0.near = "_agent" }.endpoints.map(\.instanceID) == ["n/b", "n/a"])
    #expect(try map(json).endpoints.map(\.instanceID) == ["n/a", "n/b"])
  }

  @Test("null and missing fields are no error; weights are kept in 1...65535")
  func tolerant() throws {
    let mapping = try map(
      #"[{"Node":{"Node":"n","Meta":null,"TaggedAddresses":null},"Service":{"ID":"x","Tags":null,"#
        + #""Meta":null,"Address":"h","Port":1,"Weights":{"Passing":-4}},"Checks":null}]"#)
    #expect(mapping.endpoints.map(\.weight) == [1])
    #expect(throws: (any Error).self) { try map(#"[{"Node":3}]"#) }
    #expect(throws: (any Error).self) { try map(#"[{"Node":{"Node":"n"},"Serv"#) }
  }

  @Test("the note counts") func note() {
    #expect("\(InstanceCounts(critical: 3))" == "3 instances, 0 passing (3 critical)")
    #expect("\(InstanceCounts(passing: 1))" == "1 instance, 1 passing")
    #expect("\(InstanceCounts())" == "no instance is registered")
  }
}
