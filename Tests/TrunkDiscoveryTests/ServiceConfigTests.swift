// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery
import TrunkWire

@Suite struct ServiceConfigTests {
  static let full = """
    {"loadBalancingConfig": [{"rls": {}}, {"round_robin": {"x": 1}}], "stranger": [1],
     "loadBalancingPolicy": "ROUND_ROBIN",
     "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1239},
     "healthCheckConfig": {"serviceName": "h"},
     "connectionScaling": {"maxConnectionsPerSubchannel": 3},
     "methodConfig": [
       {"name": [{"service": "a.B", "method": "C"}], "timeout": "1.5s", "waitForReady": true,
        "maxRequestMessageBytes": 10, "maxResponseMessageBytes": "20",
        "retryPolicy": {"maxAttempts": 9, "initialBackoff": "0.1s", "maxBackoff": "1s",
          "backoffMultiplier": 2, "retryableStatusCodes": ["unavailable", 10]}},
       {"name": [{"service": "a.B"}], "timeout": "2s",
        "hedgingPolicy": {"maxAttempts": 2, "nonFatalStatusCodes": ["ABORTED"]}},
       {"name": [{}], "timeout": "3s"}]}
    """

  @Test("known fields are read, unknown ones ignored") func fields() throws {
    let config = try ServiceConfig(json: Self.full)
    #expect(config.balancers?.map(\.name) == ["rls", "round_robin"])
    #expect(config.balancers?.last?.json == Array(#"{"x":1}"#.utf8))
    #expect(config.balancer == "round_robin")
    #expect(config.retryThrottling?.maxMilliTokens == 10_000)
    #expect(config.retryThrottling?.milliTokenRatio == 123)
    #expect(config.healthCheckService == "h")
    #expect(config.maxConnectionsPerSubchannel == 3)
    let method = try #require(config.method("/a.B/C"))
    #expect(method.timeout == .milliseconds(1500))
    #expect(method.waitForReady == true)
    #expect(method.maxRequestMessageBytes == 10)
    #expect(method.maxResponseMessageBytes == 20)
    let retry = try #require(method.retryPolicy)
    #expect(retry.maxAttempts == 9)
    #expect(retry.initialBackoff == .milliseconds(100))
    #expect(retry.retryableStatusCodes == [.unavailable, .aborted])
    let hedging = try #require(config.method("/a.B/Other")?.hedgingPolicy)
    #expect(hedging.hedgingDelay == .zero)
    #expect(hedging.nonFatalStatusCodes == [.aborted])
  }

  @Test("service and method, then service, then default") func lookUp() throws {
    let config = try ServiceConfig(json: Self.full)
    #expect(config.method("/a.B/C")?.timeout == .milliseconds(1500))
    #expect(config.method("/a.B/D")?.timeout == .seconds(2))
    #expect(config.method("/a.X/C")?.timeout == .seconds(3))
    #expect(try ServiceConfig(json: "{}").method("/a.B/C") == nil)
  }

  @Test(
    "one bad field rejects the whole config and is named",
    arguments: [
      (
        #"{"connectionScaling": {"maxConnectionsPerSubchannel": 0}}"#,
        "connectionScaling.maxConnectionsPerSubchannel"
      ), ("[]", ""), ("{", "$"), (#"{"loadBalancingPolicy": 1}"#, "loadBalancingPolicy"),
      (#"{"loadBalancingConfig": [{"a": {}, "b": {}}]}"#, "loadBalancingConfig[0]"),
      (#"{"loadBalancingConfig": [{"a": 1}]}"#, "loadBalancingConfig[0].a"),
      (#"{"methodConfig": [{"timeout": "1"}]}"#, "methodConfig[0].timeout"),
      (#"{"methodConfig": [{}, {"timeout": "-1s"}]}"#, "methodConfig[1].timeout"),
      (#"{"methodConfig": [{"timeout": "1.0000000001s"}]}"#, "methodConfig[0].timeout"),
      (#"{"methodConfig": [{"waitForReady": 1}]}"#, "methodConfig[0].waitForReady"),
      (
        #"{"methodConfig": [{"maxRequestMessageBytes": 1.5}]}"#,
        "methodConfig[0].maxRequestMessageBytes"
      ),
      (#"{"methodConfig": [{"name": [{"method": "C"}]}]}"#, "methodConfig[0].name[0].service"),
      (#"{"methodConfig": [{"name": [{}]}, {"name": [{}]}]}"#, "methodConfig[1].name[0]"),
      (
        #"{"methodConfig": [{"retryPolicy": {"maxAttempts": 1}}]}"#,
        "methodConfig[0].retryPolicy.maxAttempts"
      ),
      (
        #"{"methodConfig": [{"retryPolicy": {"maxAttempts": 2}}]}"#,
        "methodConfig[0].retryPolicy.initialBackoff"
      ),
      (
        #"{"methodConfig": [{"retryPolicy": {"maxAttempts": 2, "initialBackoff": "0s"}}]}"#,
        "methodConfig[0].retryPolicy.initialBackoff"
      ),
      (
        #"{"methodConfig": [{"hedgingPolicy": {"maxAttempts": 2, "nonFatalStatusCodes": ["X"]}}]}"#,
        "methodConfig[0].hedgingPolicy.nonFatalStatusCodes[0]"
      ),
      (
        #"{"methodConfig": [{"name": [{"service": "a"}, {"service": "a"}]}]}"#,
        "methodConfig[0].name[1]"
      ),
      (#"{"healthCheckConfig": {"serviceName": 1}}"#, "healthCheckConfig.serviceName"),
      (#"{"retryThrottling": {"maxTokens": 0, "tokenRatio": 1}}"#, "retryThrottling.maxTokens"),
      (#"{"retryThrottling": {"tokenRatio": 1}}"#, "retryThrottling.maxTokens"),
      (#"{"retryThrottling": {"maxTokens": 1}}"#, "retryThrottling.tokenRatio"),
      (#"{"retryThrottling": {"maxTokens": 1001, "tokenRatio": 1}}"#, "retryThrottling.maxTokens"),
      (#"{"retryThrottling": {"maxTokens": 1, "tokenRatio": 0}}"#, "retryThrottling.tokenRatio"),
    ])
  func bad(_ json: String, _ path: String) {
    let error = #expect(throws: ServiceConfigError.self) { try ServiceConfig(json: json) }
    #expect(error?.path == path)
  }

  @Test(
    "a retry or hedging policy without a field that it needs, or out of its bounds, is refused",
    arguments: [
      (#""maxAttempts": 2.5"#, "maxAttempts"), (#""maxAttempts": null"#, "maxAttempts"),
      (#""maxAttempts": true"#, "maxAttempts"), (#""maxAttempts": 0"#, "maxAttempts"),
      (#""initialBackoff": null"#, "initialBackoff"), (#""initialBackoff": 1"#, "initialBackoff"),
      (#""maxBackoff": null"#, "maxBackoff"), (#""maxBackoff": "0s""#, "maxBackoff"),
      (#""maxBackoff": "1m""#, "maxBackoff"),
      (#""backoffMultiplier": null"#, "backoffMultiplier"),
      (#""backoffMultiplier": 0"#, "backoffMultiplier"),
      (#""backoffMultiplier": -1"#, "backoffMultiplier"),
      (#""retryableStatusCodes": null"#, "retryableStatusCodes"),
      (#""retryableStatusCodes": []"#, "retryableStatusCodes"),
      (#""retryableStatusCodes": [14, 17]"#, "retryableStatusCodes[1]"),
      (#""retryableStatusCodes": [1.5]"#, "retryableStatusCodes[0]"),
      (#""retryableStatusCodes": "UNAVAILABLE""#, "retryableStatusCodes"),
    ])
  func policyFields(_ field: String, _ path: String) throws {
    let fields = [
      #""maxAttempts": 2"#, #""initialBackoff": "1s""#, #""maxBackoff": "1s""#,
      #""backoffMultiplier": 1"#, #""retryableStatusCodes": ["Unavailable", 4, "aborted"]"#,
    ]
    func config(_ fields: [String]) throws(ServiceConfigError) -> ServiceConfig {
      try ServiceConfig(
        json:
          #"{"methodConfig": [{"name": [{}], "retryPolicy": {\#(fields.joined(separator: ", "))}}]}"#
      )
    }
    let good = try config(fields).method("/a/b")?.retryPolicy
    #expect(good?.retryableStatusCodes == [.unavailable, .deadlineExceeded, .aborted])
    let name = field.prefix { $0 != ":" }
    let error = #expect(throws: ServiceConfigError.self) {
      try config(fields.filter { !$0.hasPrefix(name) } + [field])
    }
    #expect(error?.path == "methodConfig[0].retryPolicy.\(path)")
  }

  @Test(
    "of a hedging policy only maxAttempts is needed",
    arguments: [
      ("", "maxAttempts"), (#""maxAttempts": 1"#, "maxAttempts"),
      (#""maxAttempts": 2, "hedgingDelay": "-1s""#, "hedgingDelay"),
      (#""maxAttempts": 2, "hedgingDelay": 1"#, "hedgingDelay"),
      (#""maxAttempts": 2, "nonFatalStatusCodes": ["NOPE"]"#, "nonFatalStatusCodes[0]"),
      (#""maxAttempts": 2"#, nil),
    ] as [(String, String?)])
  func hedgingFields(_ fields: String, _ path: String?) throws {
    let json = #"{"methodConfig": [{"name": [{}], "hedgingPolicy": {\#(fields)}}]}"#
    guard let path else {
      let policy = try ServiceConfig(json: json).method("/a/b")?.hedgingPolicy
      #expect(policy?.hedgingDelay == .zero && policy?.nonFatalStatusCodes == [])
      return
    }
    let error = #expect(throws: ServiceConfigError.self) { try ServiceConfig(json: json) }
    #expect(error?.path == "methodConfig[0].hedgingPolicy.\(path)")
  }

  @Test("a method has a retry or a hedging policy, never both") func both() {
    let json = #"""
      {"methodConfig": [{"hedgingPolicy": {"maxAttempts": 2}, "retryPolicy": {"maxAttempts": 2,
       "initialBackoff": "1s", "maxBackoff": "1s", "backoffMultiplier": 1,
       "retryableStatusCodes": [14]}}]}
      """#
    let error = #expect(throws: ServiceConfigError.self) { try ServiceConfig(json: json) }
    #expect(error?.path == "methodConfig[0]")
  }

  @Test("the balancer: first known of the list, else the name, else the option")
  func choice() throws {
    let registry = BalancerRegistry()
    func choose(_ json: String?, _ option: String? = nil) throws -> String {
      try registry.choose(json.map { try ServiceConfig(json: $0) }, option: option).name
    }
    #expect(try choose(Self.full) == "round_robin")
    #expect(try choose(#"{"loadBalancingPolicy": "Round_Robin"}"#, "pick_first") == "round_robin")
    #expect(try choose("{}", "round_robin") == "round_robin")
    #expect(try choose(nil) == "pick_first")
    let error = #expect(throws: ServiceConfigError.self) {
      try choose(#"{"loadBalancingConfig": [{"rls": {}}]}"#)
    }
    #expect(error?.path == "loadBalancingConfig")
    #expect(error?.reason.contains(registry.names.joined(separator: ", ")) == true)
    #expect(throws: ServiceConfigError.self) { try registry.make("nope") }
  }

  @Test("a policy's bad config names the field") func policyConfig() {
    let error = #expect(throws: ServiceConfigError.self) {
      try BalancerRegistry().make("pick_first", json: Array(#"{"shuffleAddressList": 1}"#.utf8))
    }
    #expect(error?.path == "pick_first.shuffleAddressList")
  }

  @Test("a config made in code says what the same JSON says, and is refused where that is")
  func inCode() throws {
    let retry = try RetryPolicy(
      maxAttempts: 4, initialBackoff: .milliseconds(100), maxBackoff: .seconds(1),
      backoffMultiplier: 2, retryableStatusCodes: [.unavailable])
    var config = ServiceConfig()
    config.balancers = [BalancerChoice("round_robin")]
    config.retryThrottling = try RetryThrottling(maxTokens: 10, tokenRatio: 0.1)
    config.healthCheckService = "shop"
    config.maxConnectionsPerSubchannel = 4
    try config.set(MethodConfig(timeout: .seconds(1)))
    try config.set(MethodConfig(waitForReady: true, retryPolicy: retry), service: "shop.Orders")
    try config.set(
      MethodConfig(hedgingPolicy: HedgingPolicy(maxAttempts: 2)), service: "shop.Orders",
      method: "Get")
    let json = #"""
      {"loadBalancingConfig": [{"round_robin": {}}],
       "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
       "healthCheckConfig": {"serviceName": "shop"},
       "connectionScaling": {"maxConnectionsPerSubchannel": 4},
       "methodConfig": [
        {"name": [{}], "timeout": "1s"},
        {"name": [{"service": "shop.Orders"}], "waitForReady": true, "retryPolicy": {
          "maxAttempts": 4, "initialBackoff": "0.1s", "maxBackoff": "1s", "backoffMultiplier": 2,
          "retryableStatusCodes": ["UNAVAILABLE"]}},
        {"name": [{"service": "shop.Orders", "method": "Get"}],
         "hedgingPolicy": {"maxAttempts": 2}}]}
      """#
    #expect(try config == ServiceConfig(json: json))
    try config.set(nil, service: "shop.Orders", method: "Get")
    #expect(config.method("/shop.Orders/Get")?.waitForReady == true)

    func refused(_ path: String, _ body: () throws -> Void) {
      let error = #expect(throws: ServiceConfigError.self) { try body() }
      #expect(error?.path == path)
    }
    refused("retryPolicy.maxAttempts") {
      _ = try RetryPolicy(
        maxAttempts: 1, initialBackoff: .seconds(1), maxBackoff: .seconds(1),
        retryableStatusCodes: [.unavailable])
    }
    refused("retryPolicy.retryableStatusCodes") {
      _ = try RetryPolicy(
        maxAttempts: 2, initialBackoff: .seconds(1), maxBackoff: .seconds(1),
        retryableStatusCodes: [])
    }
    refused("retryPolicy.backoffMultiplier") {
      _ = try RetryPolicy(
        maxAttempts: 2, initialBackoff: .seconds(1), maxBackoff: .seconds(1),
        backoffMultiplier: .nan, retryableStatusCodes: [.unavailable])
    }
    refused("hedgingPolicy.hedgingDelay") {
      _ = try HedgingPolicy(maxAttempts: 2, hedgingDelay: .seconds(-1))
    }
    refused("retryThrottling.maxTokens") {
      _ = try RetryThrottling(maxTokens: .infinity, tokenRatio: 1)
    }
    refused("methodConfig.name.service") { try config.set(MethodConfig(), method: "Get") }
    refused("methodConfig.timeout") { try config.set(MethodConfig(timeout: .seconds(-1))) }
    refused("methodConfig") {
      try config.set(
        MethodConfig(retryPolicy: retry, hedgingPolicy: HedgingPolicy(maxAttempts: 2)))
    }
  }

  @Test(
    "an unknown policy is refused with the nearest name, wherever it stands",
    arguments: [
      ("round_robbin", "round_robin"), ("roundrobin", "round_robin"),
      ("Round_Robin", "round_robin"),
      ("pickfirst", "pick_first"), ("pick_frist", "pick_first"), ("xyz", nil),
      (String(repeating: "round_robin", count: 100_000), nil),
    ] as [(String, String?)])
  func nearest(_ name: String, _ meant: String?) throws {
    let registry = BalancerRegistry()
    var older = ServiceConfig()
    older.balancer = name
    var list = ServiceConfig()
    list.balancers = [BalancerChoice(name)]
    let configs: [(String, ServiceConfig?)] = [
      (name, nil), ("pick_first", older), ("pick_first", list),
    ]
    for (option, config) in configs {
      let error = #expect(throws: ServiceConfigError.self) {
        try registry.check(option: option, config: config)
      }
      #expect(error?.reason.hasPrefix("unknown policy") == true)
      #expect(
        error?.reason.contains("did you mean \(meant ?? "")") == (meant != nil),
        "\(error?.reason.suffix(100) ?? "")")
    }
  }

  @Test("JSON nested beyond reason is an error, not a crash") func deep() {
    let json = String(repeating: "[", count: 100_000)
    #expect(throws: ServiceConfigError.self) { try ServiceConfig(json: json) }
  }
}
