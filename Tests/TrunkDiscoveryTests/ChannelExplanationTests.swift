// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery
import TrunkWire

@Suite("The explanation of a channel") struct ChannelExplanationTests {
  private var explanation: ChannelExplanation {
    var calls = CallCounts()
    calls.begun = 1204
    calls.failed = 2
    calls.inFlight = 3
    calls.latency = .microseconds(1_250)
    var weighted = b
    weighted.weight = 5
    weighted.attributes = ["zone": "eu\n1"]
    return ChannelExplanation(
      target: "consul:///helloworld", state: .ready, resolver: "consul answered 0.4 s ago",
      serviceConfig: #"{"loadBalancingPolicy":"round_robin"}"#, configOrigin: .resolver,
      configError: nil,
      policy: PolicyExplanation(
        "outer", state: .ready, notes: ["a note"], subchannels: [two: "ejected for 28 s"],
        children: [.init("first", PolicyExplanation("round_robin", state: .ready))]),
      endpoints: [
        EndpointExplanation(
          id: one, endpoint: a, state: .ready, stateAge: .seconds(12), errors: [],
          nextAttempt: nil, connections: 2, calls: calls, notes: []),
        EndpointExplanation(
          id: two, endpoint: weighted, state: .transientFailure, stateAge: .milliseconds(3_040),
          errors: ["2.2.2.2:2 connection refused"], nextAttempt: .milliseconds(1_100),
          connections: 0, calls: CallCounts(), notes: ["ejected for 28 s"]),
      ], waitingCalls: 1)
  }

  @Test("as text it has one fact a line") func text() {
    #expect(
      "\(explanation)" == """
        consul:///helloworld is READY
        resolver   consul answered 0.4 s ago
        config     from the resolver: {"loadBalancingPolicy":"round_robin"}
        policy     outer READY
                     a note
        policy       first: round_robin READY
        endpoint   1.1.1.1:1 READY for 12 s: 3 calls in flight, 1204 made, 2 failed, 1.2 ms, \
        2 connections
        endpoint   2.2.2.2:2 TRANSIENT_FAILURE for 3.0 s: weight 5, ejected for 28 s, \
        2.2.2.2:2 connection refused, next attempt in 1.1 s, zone=eu 1
        waiting    1 call
        """)
  }

  @Test("as JSON it has the same facts under the properties' names") func json() throws {
    let json = try JSONValue(parsing: Array(explanation.json.utf8))
    guard case .object(let fields) = json, case .array(let endpoints)? = fields["endpoints"],
      case .object(let second)? = endpoints.last
    else {
      Issue.record("no object with endpoints: \(json)")
      return
    }
    #expect(fields["state"] == .string("READY") && fields["waitingCalls"] == .number(1))
    #expect(fields["serviceConfig"] == .object(["loadBalancingPolicy": .string("round_robin")]))
    #expect(fields["configError"] == nil)
    #expect(second["state"] == .string("TRANSIENT_FAILURE") && second["stateAge"] == .number(3.04))
    #expect(second["nextAttempt"] == .number(1.1))
    #expect(second["attributes"] == .object(["zone": .string("eu\n1")]))
    #expect(second["notes"] == .array([.string("ejected for 28 s")]))
  }

  @Test("a service config as JSON reads as the same config") func config() throws {
    let text = #"""
      {"loadBalancingConfig": [{"pick_first": {"shuffleAddressList": true}}],
       "loadBalancingPolicy": "round_robin", "healthCheckConfig": {"serviceName": ""},
       "connectionScaling": {"maxConnectionsPerSubchannel": 2},
       "retryThrottling": {"maxTokens": 10.5, "tokenRatio": 0.1},
       "methodConfig": [
         {"name": [{}], "timeout": "1.5s", "waitForReady": true},
         {"name": [{"service": "a.B"}], "maxRequestMessageBytes": 7, "maxResponseMessageBytes": 8},
         {"name": [{"service": "a.B", "method": "M"}], "retryPolicy": {"maxAttempts": 3,
           "initialBackoff": "0.010s", "maxBackoff": "10s", "backoffMultiplier": 1.5,
           "retryableStatusCodes": ["UNAVAILABLE", 8]}},
         {"name": [{"service": "a.B", "method": "N"}], "hedgingPolicy": {"maxAttempts": 2,
           "hedgingDelay": "0.000000001s", "nonFatalStatusCodes": [14]}}]}
      """#
    let config = try ServiceConfig(json: text)
    #expect(try ServiceConfig(json: config.json) == config)
    #expect(try ServiceConfig(json: config.json).json == config.json)
    #expect(ServiceConfig().json == "{}")
  }

  @Test("counts of several connections add up; the latency is the busiest one's") func counts() {
    var sum = CallCounts()
    var (first, second) = (CallCounts(), CallCounts())
    first.begun = 10
    first.failed = 1
    first.latency = .milliseconds(5)
    second.begun = 3
    second.inFlight = 2
    second.latency = .milliseconds(50)
    sum.add(first)
    sum.add(second)
    #expect(sum.begun == 13 && sum.failed == 1 && sum.inFlight == 2)
    #expect(sum.latency == .milliseconds(5))
  }
}
