// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
//
// The README's examples, to the letter: ReadmeTests compares them.
import GreeterStubs
import Logging
import SwiftProtobuf
import TrunkConsul
import TrunkDiscovery
import TrunkServices
import TrunkWire
import Trunkcall

// swift-format-ignore
struct Greeter: Helloworld_Greeter.Service {
  func sayHello(_ request: Helloworld_HelloRequest, _ call: ServerCall) async throws -> Helloworld_HelloReply {
    .with { $0.message = "Hello \(request.name)" }
  }
}

// swift-format-ignore
func serverExample() async throws {
let server = GRPCServer(on: .tcp("0.0.0.0", 50051), services: [Greeter(), HealthService()])
let registration = ConsulRegistration("helloworld", of: server)
try await runUntilSignalled(server, registration, logger: Logger(label: "greeter"))
}

// swift-format-ignore
func clientExample() async throws {
try await withChannel(to: "consul:///helloworld", resolvers: [.consul()], balancer: "round_robin") { channel in
  var greeter = Helloworld_Greeter.Client(channel)
  greeter.options.timeout = .seconds(1)
  print(try await greeter.sayHello(.with { $0.name = "world" }).message)
}
}

// swift-format-ignore
func compressionExample() async throws {
var options = ChannelOptions()
options.compression = .gzip  // requests of every call
try await withChannel(to: "dns:///localhost:50051", options: options) { channel in
  var greeter = Helloworld_Greeter.Client(channel)
  greeter.options.compression = .identity  // not those of this client
  print(try await greeter.sayHello(.with { $0.name = "world" }).message)
}
}

// swift-format-ignore
struct LabResolver: Resolver {
  let scheme = "lab"
  let hosts: @Sendable (_ name: String) async throws -> [String]

  func resolve(_ target: Target, _ session: ResolverSession) async throws {
    while true {
      let hosts = try await hosts(target.endpoint)
      session.report(Resolution(hosts.map { Endpoint(Address($0, 50051)) }))
      try await session.refreshRequested()
    }
  }
}

// swift-format-ignore
struct LeastLoaded: PickPolicy {
  static let name = "least_loaded"
  let ready: [ReadySubchannel]
  init(_ ready: [ReadySubchannel]) { self.ready = ready }
  mutating func pick(_ call: borrowing PickContext) -> ReadySubchannel {
    ready.min { $0.callsInFlight < $1.callsInFlight } ?? ready[0]
  }
}

// swift-format-ignore
func tlsExample() throws {
let tls = ServerTLS(.files(certificates: "server.pem", privateKey: "server.key"), clientCertificates: .required(.file("ca.pem")))
let server = GRPCServer(on: .tcp("0.0.0.0", 50051), services: [Greeter()], security: .tls(tls))

let channel = try GRPCChannel(to: "dns:///orders.example:50051", security: .tls(ClientTLS(trust: .file("ca.pem"))))
_ = (server, channel)
}

// swift-format-ignore
func inProcessExample() {
let greeter = Helloworld_Greeter.Client(InProcessChannel([Greeter()]))
_ = greeter
}
