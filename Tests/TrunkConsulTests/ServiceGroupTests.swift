// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

#if ServiceLifecycle
  import Logging
  import ServiceLifecycle
  import Testing
  import TrunkDiscovery
  import TrunkTesting

  @testable import TrunkConsul

  @Suite("In a service group", .timeLimit(.minutes(1))) struct ServiceGroupTests {
    @Test("a group's graceful shutdown takes the instance out of Consul") func graceful()
      async throws
    {
      let agent = try await ScriptedConsulAgent.start(answering: [.json("[]", index: 1)])
      let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
      let registration = ConsulRegistration(
        "hello", of: TestServer(.host("127.0.0.1", 5)), agent: ConsulAgent(agent.address),
        logger: logger)
      let group = ServiceGroup(services: [registration], logger: logger)
      let run = Task { try await group.run() }
      #expect(try await eventually { agent.requests.contains { $0.path.hasSuffix("/register") } })
      await group.triggerGracefulShutdown()
      // A service that ends in a graceful shutdown is no failure to its group.
      try await run.value
      #expect(
        agent.requests.map(\.path).contains("/v1/agent/service/deregister/hello-127.0.0.1-5"))
      agent.stop()
    }
  }
#endif
