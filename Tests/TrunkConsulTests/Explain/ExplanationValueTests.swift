// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing

@testable import TrunkConsul

@Suite("An explanation as text and as JSON")
struct ExplanationValueTests {
  private var explanation: ConsulExplanation {
    var query = ConsulRequestExplanation(
      purpose: .query, method: "GET", path: "/v1/health/service/a?passing", status: 200,
      outcome: "2 instances")
    query.index = .max
    query.knowsLeader = false
    query.lastContact = .milliseconds(1_500)
    query.age = .seconds(9)
    query.cache = "HIT"
    query.backend = "streaming"
    query.consistency = "stale"
    query.isFilteredByACLs = true
    query.defaultPolicy = "deny"
    let refused = ConsulRequestExplanation(
      purpose: .agent, method: "GET", path: "/v1/agent/self", status: 403, outcome: "403 Forbidden")
    func instance(
      _ id: String, _ use: ConsulInstanceExplanation.Use, _ reasons: [String] = [],
      _ holds: [ConsulHold] = []
    ) -> ConsulInstanceExplanation {
      ConsulInstanceExplanation(
        id: id, node: "n", datacenter: "dc1", address: "10.0.0.1:\(id)", health: "passing",
        checks: [], weight: 1, tags: [], use: use, reasons: reasons, holds: holds)
    }
    var warned = instance("1", .used)
    warned.health = "warning"
    warned.checks = [.init(id: "c", status: "warning", output: "disk\u{1B}[1m full")]
    warned.tags = ["v1", "v2"]
    let watch = ConsulWatchStatistics(
      kind: .instances, agent: "127.0.0.1:8500", name: "a",
      request: "/v1/health/service/a?passing&index=7&wait=60000ms", subscribers: 2, queries: 5,
      answers: 4, updates: 1, failures: 1, answerAge: .milliseconds(4_200), index: 7,
      knowsLeader: false, lastContact: .seconds(1), problem: "reset", instances: 2, lastResort: 1,
      holds: [.leaderlessHold, .panicHold], holdsEndIn: .seconds(60), note: "2 instances")
    return ConsulExplanation(
      target: "consul:///a", agent: "127.0.0.1:8500", agentVersion: "1.8.7",
      token: "no token is sent", problem: nil, requests: [query, refused],
      instances: [
        warned, instance("2", .standby), instance("3", .kept, ["no"], [.leaderlessHold]),
        instance("4", .lastResort, ["gone"], [.panicHold]), instance("5", .unused, ["x", "y"]),
      ],
      unreadable: ["\"bad\": Service.Port is no Int"],
      config: ConsulConfigExplanation(key: "k", state: .invalid, reason: "why", index: 9),
      advice: ["do this"], watches: [watch], processWatches: 3,
      polls: ConsulAgentStatistics(
        address: "127.0.0.1:8500", polls: 2, abandonedPolls: 1, limit: 100))
  }

  @Test("every fact is one line of the text") func text() {
    #expect(
      explanation.description == """
        consul:///a has 4 usable instances of 5
        agent       127.0.0.1:8500, Consul 1.8.7, no token is sent
        request     GET /v1/health/service/a?passing
                    200: 2 instances; index 18446744073709551615, no leader known, \
        last contact 1500 ms ago, cache HIT, age 9 s, by streaming, consistency stale, \
        filtered by ACLs, default ACL policy deny
        request     GET /v1/agent/self
                    403 Forbidden
        in          10.0.0.1:1 1 on n in dc1: warning, weight 1, tags v1,v2; check "c" is warning: \
        disk [1m full
        standby     10.0.0.1:2 2 on n in dc1: passing, weight 1
        kept        10.0.0.1:3 3 on n in dc1: no (leaderlessHold)
        last resort 10.0.0.1:4 4 on n in dc1: gone (panicHold)
        out         10.0.0.1:5 5 on n in dc1: x; y
        unreadable  "bad": Service.Port is no Int
        config      kv:k at index 9: invalid: why
        watch       GET /v1/health/service/a?passing&index=7&wait=60000ms
                    2 channels, 4 answers, the last 4 s ago, 1 update, 1 failure, index 7, \
        no leader known, leaderlessHold and panicHold for 60 s more; 2 instances
        process     3 watches, 3 of 100 long polls to the agent, 1 of them abandoned
        advice      do this
        """)
  }

  @Test("the JSON has every property; an index is a string, a duration is in seconds") func json() {
    let watch =
      #"{"agent":"127.0.0.1:8500","answerAge":4.2,"answers":4,"failures":1,"#
      + #""holds":["leaderlessHold","panicHold"],"holdsEndIn":60,"index":"7","instances":2,"#
      + #""kind":"instances","knowsLeader":false,"lastContact":1,"lastResort":1,"name":"a","#
      + #""note":"2 instances","problem":"reset","queries":5,"#
      + #""request":"/v1/health/service/a?passing&index=7&wait=60000ms","subscribers":2,"updates":1}"#
    let polls = #"{"abandonedPolls":1,"address":"127.0.0.1:8500","limit":100,"polls":2}"#
    func instance(_ id: String, _ use: String, _ reasons: String, _ holds: String = "") -> String {
      #"{"address":"10.0.0.1:\#(id)","checks":[],"datacenter":"dc1","health":"passing",\#(holds)"#
        + #""id":"\#(id)","isUsed":\#(use != "unused"),"node":"n","reasons":[\#(reasons)],"tags":[],"#
        + #""use":"\#(use)","weight":1}"#
    }
    let instances = [
      #"{"address":"10.0.0.1:1","checks":[{"id":"c","output":"disk\u001b[1m full","status":"warning"}],"#
        + #""datacenter":"dc1","health":"warning","id":"1","isUsed":true,"node":"n","reasons":[],"#
        + #""tags":["v1","v2"],"use":"used","weight":1}"#,
      instance("2", "standby", ""),
      instance("3", "kept", #""no""#, #""holds":["leaderlessHold"],"#),
      instance("4", "lastResort", #""gone""#, #""holds":["panicHold"],"#),
      instance("5", "unused", #""x","y""#),
    ].joined(separator: ",")
    #expect(
      explanation.json
        == #"{"advice":["do this"],"agent":"127.0.0.1:8500","agentVersion":"1.8.7","#
        + #""config":{"index":"9","key":"k","reason":"why","state":"invalid"},"#
        + #""instances":[\#(instances)],"polls":\#(polls),"processWatches":3,"requests":["#
        + #"{"age":9,"backend":"streaming","cache":"HIT","consistency":"stale","defaultPolicy":"deny","#
        + #""index":"18446744073709551615","isFilteredByACLs":true,"knowsLeader":false,"#
        + #""lastContact":1.5,"method":"GET","outcome":"2 instances","#
        + #""path":"/v1/health/service/a?passing","purpose":"query","status":200},"#
        + #"{"method":"GET","outcome":"403 Forbidden","path":"/v1/agent/self","purpose":"agent","#
        + #""status":403}],"target":"consul:///a","token":"no token is sent","#
        + #""unreadable":["\"bad\": Service.Port is no Int"],"usable":4,"watches":[\#(watch)]}"#)
    let statistics = ConsulStatistics(watches: explanation.watches, agents: [explanation.polls])
    #expect(statistics.json == #"{"agents":[\#(polls)],"watches":[\#(watch)]}"#)
  }
}
