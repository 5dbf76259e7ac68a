// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import GreeterStubs
import Logging
import ProcessSupport
import SwiftProtobuf
import Testing
import TrunkConsul
import TrunkServices
import Trunkcall

private final class Greeting: Helloworld_Greeter.Service {
  func sayHello(
    _ request: Helloworld_HelloRequest, _ call: ServerCall
  ) async throws -> Helloworld_HelloReply {
    .with { $0.message = "Hello \(request.name)" }
  }
}

@Suite("Calls after a deregistration", .serialized, .timeLimit(.minutes(2)))
struct LateCallTests {
  /// A server in this process, checked by the agent, and its registration.
  private struct Registered {
    let server: GRPCServer
    let registration: ConsulRegistration
    let serving: Task<Void, any Error>
    let registering: Task<Void, any Error>
    let address: String

    init(_ fleet: Fleet) async throws {
      let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
      let server = GRPCServer(
        on: .tcp("127.0.0.1", 0), services: [Greeting(), HealthService()], logger: quiet)
      let registration = ConsulRegistration(
        "helloworld", of: server, agent: ConsulAgent(fleet.agent.address),
        check: .grpc(every: .seconds(1)), logger: quiet)
      (self.server, self.registration) = (server, registration)
      serving = Task { try await server.run() }
      registering = Task { try await registration.run() }
      address = "\(try #require(try await server.listeningAddresses().first))"
      for await state in registration.states { if case .registered = state { break } }
    }

    func leave() async throws {
      registration.shutDown()
      try await registering.value
    }
    func end() async throws {
      server.shutDown()
      try await serving.value
    }
  }

  @Test("a client that does not look at Consul is counted, the agent's own checks are not")
  func late() async throws {
    let fleet = try await Fleet.start()
    let one = try await Registered(fleet)
    let channel = try GRPCChannel(to: one.address)
    let greeting = Helloworld_HelloRequest.with { $0.name = "late" }
    func call() async throws {
      _ = try await channel.unary(Helloworld_Greeter.Methods.sayHello, greeting, CallOptions())
    }
    try await call()
    #expect(one.registration.callsAfterDeregistration == nil)
    try await one.leave()
    #expect(one.registration.callsAfterDeregistration == 0)
    try await call()
    try await call()
    #expect(one.registration.callsAfterDeregistration == 2)
    // More than a check's interval.
    try await Task.sleep(for: .seconds(1.5))
    #expect(one.registration.callsAfterDeregistration == 2)
    await channel.close()
    try await one.end()
    #expect(one.registration.callsAfterDeregistration == 2)
    try await fleet.agent.kill()
  }

  @Test("a rolling restart under calls: none fails, and none arrives after a deregistration")
  func rolling() async throws {
    let fleet = try await Fleet.start()
    var running = [try await Registered(fleet), try await Registered(fleet)]
    let channel = try fleet.channel()
    try await channel.ready(within: .seconds(5))
    let traffic = Traffic(channel, every: .milliseconds(10))
    var stopped: [ConsulRegistration] = []
    for _ in 0..<4 {
      let next = try await Registered(fleet)
      #expect(
        try await fleet.eventually(within: .seconds(10)) {
          traffic.all.contains { $0.peer == next.address }
        }, "the new server is called")
      running.append(next)
      let first = running.removeFirst()
      try await first.leave()
      stopped.append(first.registration)
      try await first.end()
    }
    await traffic.stop()
    print("rolling: \(traffic.failures.count) failed of \(traffic.all.count)")
    #expect(traffic.failures.isEmpty)
    #expect(stopped.map(\.callsAfterDeregistration) == [0, 0, 0, 0])
    for one in running {
      try await one.leave()
      try await one.end()
    }
    await channel.close()
    try await fleet.agent.kill()
  }
}
