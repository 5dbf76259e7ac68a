// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Glibc
import GreeterStubs
import GreeterSupport
import Logging
import SwiftProtobuf
import Synchronization
import TrunkConsul
import TrunkServices
import Trunkcall

/// A greeter that counts its calls, the ones after its deregistration apart.
struct BackEnd: Helloworld_Greeter.Service {
  final class Counts: Sendable {
    let all = Atomic<Int>(0)
    let late = Atomic<Int>(0)
    let isGone = Atomic<Bool>(false)
  }
  let counts: Counts

  func sayHello(
    _ request: Helloworld_HelloRequest, _ call: ServerCall
  ) async throws -> Helloworld_HelloReply {
    counts.all.wrappingAdd(1, ordering: .relaxed)
    if counts.isGone.load(ordering: .relaxed) { counts.late.wrappingAdd(1, ordering: .relaxed) }
    return .with { $0.message = "Hello \(request.name)" }
  }

  /// Ends when its registration has: the instance is out of the catalogue.
  private struct Confirmed: LongRunning {
    let registration: ConsulRegistration
    let counts: Counts
    func run() async throws {
      try await registration.run()
      counts.isGone.store(true, ordering: .relaxed)
    }
    func shutDown() { registration.shutDown() }
  }

  /// HOST PORT NAME AGENT; without an agent (-) it does not register. Prints `listening`, and at
  /// the end `calls ALL LATE`.
  static func serve(_ words: [String]) async throws {
    guard words.count == 4, let port = UInt16(words[1]) else {
      throw Broken("usage: consul-cluster serve HOST PORT NAME AGENT|-")
    }
    logToStandardError(.notice)
    let logger = Logger(label: "back-end")
    let counts = Counts()
    var options = ServerOptions()
    options.loops = 1
    let server = GRPCServer(
      on: .tcp(words[0], port), services: [BackEnd(counts: counts), HealthService()],
      options: options, logger: logger)
    async let listening: Void = {
      _ = try await server.listeningAddresses()
      say("listening")
    }()
    if words[3] == "-" {
      try await runUntilSignalled(server, logger: logger)
    } else {
      let registration = ConsulRegistration(
        words[2], of: server, agent: ConsulAgent(words[3]),
        check: .grpc(every: .seconds(1)), logger: logger)
      try await runUntilSignalled(
        server, Confirmed(registration: registration, counts: counts), logger: logger)
    }
    try await listening
    say("calls \(counts.all.load(ordering: .relaxed)) \(counts.late.load(ordering: .relaxed))")
  }
}
