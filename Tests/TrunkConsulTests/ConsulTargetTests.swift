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
    #expect(try read("consul:///x?stale&max-stale=any").query.maxStale == nil)
    #expect(try read("consul:///x?token=s3").agent.token == .value("s3"))
    #expect(try read("consul:///x?token-file=/t").agent.token == .file("/t"))
    #expect(try read("consul:///x").agent.token == .value("env"))
  }

  @Test("several agents are an order of preference, each with a port of its own")
  func alternatives() throws {
    let agent = try read("consul://a,[::1]:8501,10.0.0.3:80/x").agent
    #expect(agent.address == "a:8500" && agent.alternatives == ["[::1]:8501", "10.0.0.3:80"])
    var options = ConsulAgent("10.1.1.1", token: .value("t"))
    options.alternatives = ["10.1.1.2"]
    let inherited = try ConsulTarget(Target.parse("consul:///x"), agent: options).agent
    #expect(inherited.alternatives == ["10.1.1.2"])
    let named = try ConsulTarget(Target.parse("consul://b/x"), agent: options).agent
    #expect(named.alternatives.isEmpty && named.token == .value("t"))
    for bad in ["a,", ",a", "a,a:8500", "a,b:0", "a,x@b"] {
      #expect(throws: TargetError.self, "\(bad)") { try read("consul://\(bad)/x") }
    }
    let many = (1...17).map { "10.0.0.\($0)" }.joined(separator: ",")
    #expect(throws: TargetError.self) { try read("consul://\(many)/x") }
    let error = #expect(throws: TargetError.self) { try read("consul://a,b:x/y") }
    #expect(error?.column == 14)
  }

  @Test("any query is its target: written and read again it is the same") func roundTrip() throws {
    var random = SplitMix(state: 11)
    func some<T>(_ value: T) -> T? { Bool.random(using: &random) ? value : nil }
    func text() -> String {
      let letters = Array("aB0.-_~ %/?&=#,:@+é\u{1F600}\"'")
      return "x"
        + String(
          (0..<Int.random(in: 0...5, using: &random)).map { _ in
            letters.randomElement(using: &random) ?? "a"
          }) + "y"
    }
    func texts() -> [String] { (0..<Int.random(in: 0...2, using: &random)).map { _ in text() } }
    for _ in 0..<500 {
      var query = ConsulQuery(text())
      query.kind = [.service, .connect, .prepared].randomElement(using: &random) ?? .service
      let isPrepared = query.kind == .prepared
      query.health = isPrepared ? .any : [.passing, .warning, .any].randomElement(using: &random)!
      if !isPrepared {
        query.tags = texts()
        query.nodeMeta = texts().map { "k:\($0)" }
        query.filter = some(text())
        if let peer = some(text()) { query.peer = peer } else { query.samenessGroup = some(text()) }
        query.wait =
          some(.milliseconds(Int64.random(in: 1_000...600_000, using: &random)))
          ?? query.wait
      } else {
        query.interval = .milliseconds(Int64.random(in: 1_000...600_000, using: &random))
      }
      query.datacenters = [[], ["dc1"], isPrepared ? [] : ["dc1", "dc 2"]]
        .randomElement(using: &random)!
      query.namespace = some(text())
      query.partition = some(text())
      query.near = some(text())
      query.taggedAddress = some(text())
      query.consistency = [.default, .stale, .consistent].randomElement(using: &random)!
      query.cached = query.consistency != .consistent && Bool.random(using: &random)
      if query.consistency == .stale { query.maxStale = some(.seconds(3)) }
      let agents = some(["10.0.0.1:8500", "[::1]:8501"]) ?? []
      let key = some("a/b c")
      let target = query.target(agents: agents, serviceConfigKey: key)
      let read = try ConsulTarget(
        Target.parse(target), agent: ConsulAgent("10.1.1.1:8500"))
      #expect(read.query == query, "\(target)")
      #expect(read.configKey == key)
      #expect(read.agent.address == agents.first ?? "10.1.1.1:8500")
      #expect(read.agent.alternatives == Array(agents.dropFirst()))
    }
    #expect(ConsulQuery("orders").target() == "consul:///orders")
  }

  @Test("a query that cannot be is refused with the name of its field") func impossible() throws {
    func error(_ agents: [String] = [], _ change: (inout ConsulQuery) -> Void) -> String {
      var query = ConsulQuery("x")
      change(&query)
      do {
        let read = try ConsulTarget(
          Target.parse(query.target(agents: agents)), agent: ConsulAgent("10.1.1.1:8500"))
        return "\(read)"
      } catch { return "\(error)" }
    }
    for wait in [
      Duration.zero, .seconds(-1), .seconds(Int64.min), .seconds(Int64.max), .nanoseconds(1),
    ] {
      #expect(error { $0.wait = wait }.contains("parameter \"wait\""))
      #expect(
        error { ($0.kind, $0.health, $0.interval) = (.prepared, .any, wait) }.contains(
          "parameter \"interval\""))
      if wait != .zero, wait != .nanoseconds(1), wait > .zero {
        #expect(
          error { ($0.consistency, $0.maxStale) = (.stale, wait) }.contains(
            "parameter \"max-stale\""))
      }
    }
    #expect(error { $0.interval = .seconds(5) }.contains("parameter \"interval\""))
    #expect(
      error { ($0.consistency, $0.maxStale) = (.stale, .zero) }.contains("parameter \"max-stale\""))
    #expect(
      error { ($0.consistency, $0.maxStale) = (.stale, .seconds(-3)) }.contains(
        "parameter \"max-stale\""))
    for name in ["a,b", "a,", ","] {
      #expect(error { $0.datacenters = [name] }.contains("\"dc\""), "\(name)")
    }
    #expect(error { $0.datacenters = ["a", "a"] }.contains("\"dc\""))
    #expect(error { $0.nodeMeta = [""] }.contains("parameter \"node-meta\""))
    #expect(error { ($0.kind, $0.tags) = (.prepared, ["a"]) }.contains("parameter \"tag\""))
    #expect(error { ($0.kind, $0.chain) = (.prepared, true) }.contains("parameter \"prepared\""))
    #expect(error { $0.service = "" }.contains("missing service"))
    for agent in ["https://a", "unix:///a", "u:secret@a", "a/b", "a?b", "é:1", "[::1"] {
      let text = error([agent]) { _ in }
      #expect(text.contains("column"), "\(agent): \(text)")
      #expect(!text.contains("secret"))
    }
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
