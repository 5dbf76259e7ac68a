// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery

@testable import TrunkConsul

@Suite("config= of a target") struct ConfigTargetTests {
  private func target(_ text: String, default key: String? = nil) throws -> ConsulTarget {
    try ConsulTarget(
      try Target.parse(text), agent: ConsulAgent(namespace: "n"), configKey: key)
  }

  @Test("the key is asked for in the target's data center and tenancy") func request() throws {
    let query = try #require(
      try target("consul:///x?config=kv:a/b%20c&dc=dc2&partition=p&wait=30s").configQuery)
    #expect(
      query.request(index: nil, wait: nil).requestTarget
        == "/v1/kv/a/b%20c?dc=dc2&ns=n&partition=p")
    #expect(
      query.request(index: 7, wait: .seconds(1)).requestTarget
        == "/v1/kv/a/b%20c?dc=dc2&ns=n&partition=p&index=7&wait=1000ms")
    #expect(query.wait == .seconds(30))
  }

  @Test("the options' key holds where the target has none; none turns it off") func options() throws
  {
    #expect(try target("consul:///x").configQuery == nil)
    #expect(try target("consul:///x", default: "a").configQuery?.key == "a")
    #expect(try target("consul:///x?config=kv:b", default: "a").configQuery?.key == "b")
    #expect(try target("consul:///x?config=none", default: "a").configQuery == nil)
  }

  @Test(
    "what no key can be is refused, and says why",
    arguments: [
      ("config=", "allowed: kv:path/to/key, none"), ("config=x", "allowed: kv:path/to/key, none"),
      ("config=kv:", "allowed: kv:path/to/key, none"), ("config=kv:/a", "no slash at its ends"),
      ("config=kv:a/", "no slash at its ends"), ("config=kv:a//b", "no empty"),
      ("config=kv:a/../b", "\"..\" part"), ("config=kv:a%0Ab", "no control characters"),
      ("config=kv:a&config=kv:b", "is given twice"),
    ])
  func refused(parameters: String, reason: String) throws {
    let error = try #require(throws: TargetError.self) { try target("consul:///x?\(parameters)") }
    #expect("\(error)".contains(reason), "\(error)")
  }

  @Test("a bad key of the options is refused as well") func badOption() {
    #expect(throws: TargetError.self) { try target("consul:///x", default: "/a") }
  }
}
