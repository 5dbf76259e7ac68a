// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import FoundationEssentials
import Testing
import TrunkDiscovery

@testable import TrunkConsul

func chain(_ json: String) throws -> DiscoveryChain {
  try JSONDecoder().decode(DiscoveryChain.self, from: Data(json.utf8))
}

/// A chain of nodes and targets as JSON; `web` is the service, its target `t`.
func chainJSON(
  _ nodes: String..., targets: String = #""t": {"Service": "web", "Datacenter": "dc1"}"#,
  start: String = "s"
) -> String {
  #"{"Chain": {"ServiceName": "web", "Datacenter": "dc1", "StartNode": "\#(start)","#
    + #""Nodes": {\#(nodes.joined(separator: ","))}, "Targets": {\#(targets)}}}"#
}

let plainResolver = #""r": {"Type": "resolver", "Name": "r", "Resolver": {"Target": "t"}}"#

@Suite("A discovery chain's routes") struct ChainRoutesTests {
  @Test("a splitter is weighted splits, a resolver's failover follows its target; 0 is left out")
  func split() throws {
    let routes = try ChainRoutes(try chain(RecordedChain.split))
    #expect(
      routes.description == "89.5% v1.web (then web-backup, web-backup@dc2), "
        + "10.25% v2.web (then v1.web), 0.25% other")
    #expect(routes.splits.map(\.weight) == [895_000, 102_500, 2_500])
    #expect(routes.notApplied == [])
    let second = try #require(routes.splits.dropFirst().first?.targets.first)
    #expect(second.service == "web")
    #expect(second.filter == "Service.Meta.version == v2")
    #expect(second.onlyPassing)
    #expect(second.datacenter == nil, "the chain's own")
    #expect(routes.splits[0].targets.last?.datacenter == "dc2")
  }

  @Test("equal targets of several splits are one, and rounded weights need not have the sum 100")
  func nested() throws {
    let routes = try ChainRoutes(try chain(RecordedChain.nested))
    #expect(
      routes.description == "89.49% v1.web (then web-backup, web-backup@dc2), "
        + "10.25% v2.web (then v1.web), 0.13% zero, 0.13% web-backup")
  }

  @Test("splits inside of splits multiply") func multiply() throws {
    let json = chainJSON(
      #""s": {"Type": "splitter", "Name": "s", "Splits": ["#
        + #"{"Weight": 80, "NextNode": "in"}, {"Weight": 20, "NextNode": "r"}]}"#,
      #""in": {"Type": "splitter", "Name": "in", "Splits": ["#
        + #"{"Weight": 25, "NextNode": "r"}, {"Weight": 75, "NextNode": "q"}]}"#,
      plainResolver, #""q": {"Type": "resolver", "Name": "q", "Resolver": {"Target": "u"}}"#,
      targets: #""t": {"Service": "web"}, "u": {"Service": "you"}"#)
    let routes = try ChainRoutes(try chain(json))
    #expect(routes.description == "40% web, 60% you")
    #expect(routes.splits.map(\.weight) == [400_000, 600_000])
  }

  @Test("the chain of a service without config entries, or without instances, is the service")
  func absent() throws {
    let chain = try chain(RecordedChain.absent)
    #expect(chain.isDefault)
    let routes = try ChainRoutes(chain)
    #expect(routes.description == "none")
    #expect(try !TrunkConsulTests.chain(RecordedChain.split).isDefault)
  }

  @Test("a first route that takes every call is followed; what it asks of proxies is named")
  func catchAll() throws {
    let routes = try ChainRoutes(try chain(RecordedChain.catchAll))
    #expect(routes.description == "web")
    #expect(
      routes.notApplied == [
        "NumRetries of router web.default", "RequestTimeout of router web.default",
      ])
  }

  @Test("a route for some calls is refused by its conditions") func routed() throws {
    let chain = try chain(RecordedChain.routed)
    let refusal = try #require(throws: ChainRoutes.Refusal.self) { try ChainRoutes(chain) }
    #expect(
      refusal.description.hasPrefix(
        "router \"web.default\" has a route for Header, PathPrefix /admin; without a proxy only"))
  }

  @Test(
    "routes: what takes every call, and what does not",
    arguments: [
      ("{}", nil), ("null", nil), (#"{"Match": null, "Destination": null}"#, nil),
      (#"{"Match": {"HTTP": {}}}"#, nil),
      (#"{"Match": {"HTTP": {"PathPrefix": "/", "Header": [], "CaseInsensitive": true}}}"#, nil),
      (#"{"Match": {"HTTP": {"PathPrefix": "/a"}}}"#, "PathPrefix /a"),
      (#"{"Match": {"HTTP": {"Methods": ["PUT"]}}}"#, "a route for Methods"),
      (#"{"Match": {"HTTP": {"QueryParam": [{"Name": "x", "Present": true}]}}}"#, "QueryParam"),
      (#"{"Match": {"Future": {"x": 1}}}"#, "a route for Future"),
      (#"{"Destination": {"PrefixRewrite": "/b"}}"#, "changes the path (PrefixRewrite)"),
    ] as [(String, String?)])
  func routes(definition: String, refused: String?) throws {
    let json = chainJSON(
      #""s": {"Type": "router", "Name": "s", "Routes": ["#
        + #"{"Definition": \#(definition), "NextNode": "r"}]}"#, plainResolver)
    do {
      #expect(try ChainRoutes(try chain(json)).description == "web")
      #expect(refused == nil)
    } catch {
      #expect("\(error)".contains(try #require(refused)), "\(error)")
    }
  }

  @Test("what changes how a call is made is named, once each") func notApplied() throws {
    let json = chainJSON(
      #""s": {"Type": "splitter", "Name": "s", "LoadBalancer": {"Policy": "ring_hash"}, "#
        + #""Splits": [{"Weight": 60, "NextNode": "r", "Definition": {"Weight": 60, "#
        + #""RequestHeaders": {"Set": {"a": "b"}}}}, {"Weight": 40, "NextNode": "r"}]}"#,
      #""r": {"Type": "resolver", "Name": "r", "LoadBalancer": {"Policy": ""}, "Resolver": {"#
        + #""Target": "t", "RequestTimeout": 5000000000, "#
        + #""Failover": {"Targets": ["t"], "Policy": {"Mode": "order-by-locality"}}}}"#,
      targets: #""t": {"Service": "web", "MeshGateway": {"Mode": "local"}}"#)
    let routes = try ChainRoutes(try chain(json))
    #expect(routes.description == "web", "a failover to the target itself is none")
    #expect(
      routes.notApplied == [
        "LoadBalancer ring_hash of s", "RequestHeaders of splitter s",
        "the mesh gateway (local) of web", "RequestTimeout of web",
        "the failover mode order-by-locality of web",
      ])
  }

  @Test(
    "what a chain cannot be is refused by name, and never traps",
    arguments: [
      (chainJSON(), #"it has no node "s""#),
      (chainJSON(#""s": {"Type": "wizard"}"#), #"of the unknown kind "wizard""#),
      (chainJSON(#""s": {}"#), #"of the unknown kind """#),
      (chainJSON(#""s": {"Type": "resolver"}"#), #"node "s" is empty"#),
      (chainJSON(#""s": {"Type": "resolver", "Resolver": {}}"#), #"it has no target """#),
      (
        chainJSON(#""s": {"Type": "resolver", "Resolver": {"Target": "t"}}"#, targets: #""t": {}"#),
        #"target "t" names no service"#
      ),
      (
        chainJSON(
          #""s": {"Type": "resolver", "Resolver": {"Target": "t", "Failover": {"Targets": ["u"]}}}"#,
          targets: #""t": {"Service": "v1.web"}, "u": {"Service": "web", "ServiceSubset": "v1"}"#),
        #"two targets are "v1.web""#
      ),
      (chainJSON(#""s": {"Type": "router"}"#), "has no routes"),
      (chainJSON(#""s": {"Type": "splitter", "Splits": []}"#), "has no weight above 0"),
      (
        chainJSON(
          #""s": {"Type": "splitter", "Splits": [{"Weight": -1, "NextNode": "r"}]}"#, plainResolver),
        "has the weight -1.0"
      ),
      (
        chainJSON(#""s": {"Type": "splitter", "Splits": [{"Weight": 100, "NextNode": "s"}]}"#),
        "more than 16 nodes inside of each other"
      ),
      (
        chainJSON(#""s": {"Type": "router", "Routes": [{"NextNode": "s"}]}"#),
        "more than 16 nodes inside of each other"
      ),
      (
        chainJSON(
          #""s": {"Type": "splitter", "Splits": [\#(Array(repeating: #"{"Weight": 0.1, "NextNode": "r"}"#, count: 1_000).joined(separator: ","))]}"#,
          plainResolver),
        "more than 1000 nodes"
      ),
      (
        chainJSON(
          #""s": {"Type": "resolver", "Resolver": {"Target": "t", "Failover": {"Targets": [\#((0..<64).map { "\"\($0)\"" }.joined(separator: ","))]}}}"#,
          targets: #""t": {"Service": "web"},"#
            + (0..<64).map { "\"\($0)\": {\"Service\": \"\($0)\"}" }.joined(separator: ",")),
        "65 targets; at most 64 are allowed"
      ),
    ])
  func refused(json: String, reason: String) throws {
    let chain = try chain(json)
    let refusal = try #require(throws: ChainRoutes.Refusal.self) { try ChainRoutes(chain) }
    #expect(refusal.description.contains(reason), "\(refusal)")
  }

  @Test("a name from the answer is cut, without control characters") func names() throws {
    let long = String(repeating: "x", count: 500)
    let chain = try chain(chainJSON(#""s": {"Type": "\u001b\#(long)"}"#))
    let refusal = try #require(throws: ChainRoutes.Refusal.self) { try ChainRoutes(chain) }
    #expect(refusal.description.utf8.count < 150)
    #expect(!refusal.description.contains("\u{1b}"))
  }
}

@Suite("A discovery chain's plan") struct ChainPlanTests {
  private func query(_ text: String) throws -> ConsulQuery {
    try ConsulTarget(try Target.parse(text), agent: ConsulAgent()).query
  }
  private func requests(_ plan: WatchPlan) -> [String] {
    plan.parts.map { $0.query.request(index: nil, wait: nil).requestTarget }
  }

  @Test("each target is a health query with its subset's filter; failover is a priority within")
  func plan() throws {
    let routes = try ChainRoutes(try chain(RecordedChain.split))
    let plan = WatchPlan(routes, try query("consul:///web?chain"))
    #expect(
      requests(plan) == [
        "/v1/health/service/web?passing&filter=Service.Meta.version%20%3D%3D%20v1",
        "/v1/health/service/web-backup?passing",
        "/v1/health/service/web-backup?passing&dc=dc2",
        "/v1/health/service/web?passing&filter=Service.Meta.version%20%3D%3D%20v2",
        "/v1/health/service/web?passing&filter=Service.Meta.version%20%3D%3D%20v1",
        "/v1/health/service/other?passing",
      ])
    guard case .weighted(let splits) = plan.groups, case .priorities(let second) = splits[1].groups
    else {
      Issue.record("\(plan)")
      return
    }
    #expect(splits.map(\.weight) == [895_000, 102_500, 2_500])
    #expect(second.map(\.name) == Array(plan.parts[3...4].map { $0.path[1] }))
    #expect(plan.parts.map { $0.path[0] }.prefix(3).allSatisfy { $0 == splits[0].name })
    #expect(plan.parts[0].query == plan.parts[4].query, "one watch")
    #expect(plan.parts[4].label == "v2.web then v1.web")
    #expect(plan.note?.hasPrefix("discovery chain 89.5% v1.web (then") == true)
  }

  @Test("the target's own filter, tags and tenancy hold as well") func own() throws {
    let routes = try ChainRoutes(try chain(RecordedChain.split))
    let own = try query("consul:///web?chain&filter=a%3D%3Db&tag=t&passing=false&dc=dc1&stale")
    let plan = WatchPlan(routes, own)
    #expect(
      requests(plan)[0]
        == "/v1/health/service/web?tag=t&dc=dc1"
        + "&filter=%28a%3D%3Db%29%20and%20%28Service.Meta.version%20%3D%3D%20v1%29&stale")
    #expect(requests(plan)[3].contains("?passing&tag=t"), "OnlyPassing")
    #expect(plan.parts.allSatisfy { !$0.query.chain })
  }

  @Test("a target at a peer, in another namespace or partition") func elsewhere() throws {
    let json = chainJSON(
      #""s": {"Type": "resolver", "Resolver": {"Target": "t", "Failover": {"Targets": ["u"]}}}"#,
      targets: #""t": {"Service": "a", "Namespace": "n", "Partition": "p", "Datacenter": "dc1"}, "#
        + #""u": {"Service": "a", "Peer": "cloud", "Datacenter": "dc9"}"#)
    let plan = WatchPlan(try ChainRoutes(try chain(json)), try query("consul:///web?chain&dc=dc1"))
    #expect(
      requests(plan) == [
        "/v1/health/service/a?passing&dc=dc1&ns=n&partition=p",
        "/v1/health/service/a?passing&peer=cloud",
      ])
    #expect(plan.parts.map(\.label) == ["a@n.p", "a@n.p then a@cloud"])
  }

  @Test("the chain is asked for as the target says, and shared by all targets of the service")
  func request() throws {
    let target = "consul:///web?chain&dc=dc2&ns=n&tag=x&wait=30s"
    let chain = ChainQuery(try query(target))
    #expect(
      chain.request(index: nil, wait: nil).requestTarget
        == "/v1/discovery-chain/web?compile-dc=dc2&ns=n")
    #expect(
      chain.request(index: 7, wait: .seconds(1)).requestTarget
        == "/v1/discovery-chain/web?compile-dc=dc2&ns=n&index=7&wait=1000ms")
    #expect(chain == ChainQuery(try query(target + "&stale&filter=f")))
    #expect(try query("consul:///web?chain=false").chain == false)
  }

  @Test(
    "what the chain says itself is refused",
    arguments: ["connect", "peer=p", "prepared", "sg=g", "dc=a,b"])
  func refused(_ parameter: String) {
    #expect(throws: TargetError.self) { try query("consul:///web?chain&\(parameter)") }
  }
}
