// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery

@testable import TrunkConsul

@Suite("consul: targets") struct ConsulTargetTests {
  private func read(_ text: String) throws -> ConsulTarget {
    try ConsulTarget(
      try Target.parse(text), agent: ConsulAgent("10.1.1.1:8500", token: .value("env")))
  }

  @Test("the authority is the agent, port 8500 unless written; without one the options' agent")
  func agents() throws {
    #expect(try read("consul://127.0.0.1/hello-1").agent.address == "127.0.0.1:8500")
    #expect(try read("consul://127.0.0.1/hello-1").query == ConsulQuery("hello-1"))
    #expect(try read("consul://[::1]:8501/x").agent.address == "[::1]:8501")
    #expect(try read("consul:///x").agent.address == "10.1.1.1:8500")
    #expect(try read("consul:x").query.service == "x")
    #expect(try read("consul:///x?unix=/run/c.sock").agent.address == "unix:///run/c.sock")
  }

  @Test("every parameter is read, under each of its names") func parameters() throws {
    let query = try read(
      "consul:///x?tag=a&tags=b,c&dc=d&ns=n&partition=p&near=_agent&filter=F&node-meta=k:v"
        + "&allow-stale&max-stale=3s&cached=true&wait=5m&address=wan&warning=include"
    ).query
    var expected = ConsulQuery("x")
    expected.tags = ["a", "b", "c"]
    expected.datacenter = "d"
    expected.namespace = "n"
    expected.partition = "p"
    expected.near = "_agent"
    expected.filter = "F"
    expected.nodeMeta = ["k:v"]
    expected.consistency = .stale
    expected.maxStale = .seconds(3)
    expected.cached = true
    expected.wait = .seconds(300)
    expected.taggedAddress = "wan"
    expected.health = .warning
    #expect(query == expected)
    #expect(try read("consul:///x?require-consistent").query.consistency == .consistent)
    #expect(try read("consul:///x?healthy=false").query.health == .any)
    #expect(try read("consul:///x?token=s3").agent.token == .value("s3"))
    #expect(try read("consul:///x?token-file=/t").agent.token == .file("/t"))
    #expect(try read("consul:///x").agent.token == .value("env"))
  }

  @Test("several data centers are an order of preference, with a query for each") func datacenters()
    throws
  {
    let target = try read("consul:///x?dc=dc2,dc1")
    #expect(target.datacenters == ["dc2", "dc1"])
    #expect(target.plan.parts.map(\.query.datacenter) == ["dc2", "dc1"])
    #expect(
      try read("consul:///x?dc=dc2").plan
        == WatchPlan(read("consul:///x?dc=dc2").query, datacenters: []))
    #expect(try read("consul:///x?dc=").query.datacenter == nil)
    for bad in ["dc1,", "dc1,dc1", ",", (1...17).map { "d\($0)" }.joined(separator: ",")] {
      #expect(throws: TargetError.self, "\(bad)") { try read("consul:///x?dc=\(bad)") }
    }
    #expect(throws: TargetError.self) { try read("consul:///x?prepared&dc=dc1,dc2") }
  }

  @Test("there is no implicit tag filter, and passing is the default") func plain() throws {
    let request = try read("consul:///helloworld").query.request(index: nil, wait: nil)
    #expect(request.requestTarget == "/v1/health/service/helloworld?passing")
    let next = try read("consul:///helloworld?tag=helloworld").query
      .request(index: 12, wait: .seconds(60))
    #expect(
      next.requestTarget
        == "/v1/health/service/helloworld?passing&tag=helloworld&index=12&wait=60000ms")
  }

  @Test(
    "each mistake is its own error",
    arguments: [
      ("consul://127.0.0.1:8500", TargetError.Kind.missingService),
      ("consul://127.0.0.1:8500/", .missingService),
      ("consul://127.0.0.1:/x", .missingPort),
      ("consul://:8500/x", .missingAddress),
      ("consul://127.0.0.1:0/x", .badPort),
      ("consul://a b/x", .malformed),
      ("consul:///x/", .malformed),
      ("consul://user:secret@127.0.0.1/x", .malformed),
      ("consul:///x?colour=red", .unknownParameter),
      ("consul:///x?wait=0s", .badParameter),
      ("consul:///x?wait=11m", .badParameter),
      ("consul:///x?stale=maybe", .badParameter),
      ("consul:///x?stale&consistent", .badParameter),
      ("consul:///x?cached&consistent", .badParameter),
      ("consul:///x?passing=true&healthy=false", .badParameter),
      ("consul:///x?warning=sure", .badParameter),
      ("consul:///x?dc=a&dc=b", .badParameter),
      ("consul:///x?token=secret&token-file=/t", .badParameter),
      ("consul://h/x?unix=/s", .badParameter),
      ("consul:///x?node-meta=k", .badParameter),
      ("consul:///x?max-stale=5s", .badParameter),
      ("consul:///x?stale&max-stale=0s", .badParameter),
    ])
  func wrong(text: String, kind: TargetError.Kind) {
    #expect { try read(text) } throws: { error in
      guard let error = error as? TargetError else { return false }
      return error.kind == kind && !"\(error)".contains("secret") && error.column > 0
    }
  }

  @Test("parameters of other resolvers are taken, or refused with what does the same")
  func foreign() throws {
    #expect(try read("consul:///x?health=healthy") == read("consul:///x"))
    for (parameter, instead) in [
      ("limit=3", "filter"), ("timeout=5s", "wait"), ("max-backoff=1s", "60 s"),
      ("insecure=true", "CONSUL_HTTP_SSL_VERIFY"), ("scheme=https", "CONSUL_HTTP_SSL"),
      ("ca=/x", "CONSUL_CACERT"), ("health=fallbackToUnhealthy", "allCriticalHold"),
      ("health=healthy&passing=false", "differ"), ("health=healthy&healthy=false", "differ"),
    ] {
      #expect {
        try read("consul:///x?\(parameter)")
      } throws: { error in
        "\(error)".contains(instead) && "\(error)".contains("column 13")
          || "\(error)".contains("differ")
      }
    }
    #expect(throws: TargetError.self) { try read("consul:///x?prepared&health=healthy") }
  }

  @Test("an unknown parameter is answered with the known ones") func unknown() {
    #expect { try read("consul:///x?tga=a") } throws: { error in
      "\(error)".contains("tag, tags, token, token-file") && "\(error)".contains("column 13")
    }
  }
}
