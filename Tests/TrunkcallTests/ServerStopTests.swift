// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkSockets
import TrunkTesting
import TrunkWire

@testable import Trunkcall

@Suite("The stop of a server, as its clients see it", .timeLimit(.minutes(2)))
struct ServerStopTests {
  @Test("GOAWAY comes in two steps, to the clients of all loops at once; late calls are ignored")
  func twoSteps() async throws {
    let gate = Gate()
    let service = AdHocService(unary: [
      "Wait": { payload, _ in
        await gate.wait()
        return payload
      }
    ])
    var options = ServerOptions()
    options.loops = 2
    let server = GRPCServer(on: .tcp("127.0.0.1", 0), services: [service], options: options)
    let running = Task { try await server.run() }
    guard case .host(_, let port)? = try await server.listeningAddresses().first else { return }
    var peers: [ScriptedPeer] = []
    for _ in 0..<4 {
      let peer = try await ScriptedPeer.connect(port: port)
      try await peer.call(1, "/t.AdHoc/Wait", messages: [[9]])
      peers.append(peer)
    }
    #expect(try await holds { server.statistics.callsStarted == 4 })
    server.shutDown()
    for peer in peers {
      for expected in [Int32.max, 1] {
        let frame = try await peer.next {
          if case .goAway = $0 { true } else { false }
        }
        #expect(frame == .goAway(lastStream: expected, code: 0))
      }
      try await peer.call(3, "/t.AdHoc/Wait", messages: [[9]])
    }
    gate.open()
    for peer in peers {
      #expect(try await peer.response(1).messages == [[9]])
      let rest = try await peer.rest()
      #expect(!rest.contains { $0.stream == 3 })
    }
    try await running.value
    #expect(server.statistics.callsStarted == 4)
  }

  @Test("cancelling run() cancels the calls and returns at once")
  func cancelled() async throws {
    let probe = ProbeService()
    let server = GRPCServer(on: .tcp("127.0.0.1", 0), services: [probe])
    let running = Task { try await server.run() }
    guard case .host(_, let port)? = try await server.listeningAddresses().first else { return }
    let peer = try await ScriptedPeer.connect(port: port)
    try await peer.call(1, "/t.Probe/Wait", messages: [[1]])
    #expect(try await holds { server.statistics.callsStarted == 1 })
    let start = ContinuousClock.now
    running.cancel()
    _ = await running.result
    #expect(ContinuousClock.now - start < .seconds(5), "the default drain is 10 s")
    #expect(try await holds { probe.cancelled.withLock { $0 } == 1 })
    #expect(try await peer.rest().allSatisfy { $0.stream == 0 })
  }

  @Test("a client that never sends its SETTINGS is let go", arguments: [true, false])
  func silentClient(_ atStop: Bool) async throws {
    var options = ServerOptions()
    if !atStop { options.handshakeTimeout = .milliseconds(100) }
    try await withServer([ProbeService()], options: options) { server, port in
      let peer = try await ScriptedPeer.connect(port: port, preface: false)
      if atStop {
        #expect(try await holds { server.statistics.connections == 1 })
        server.shutDown()
      }
      _ = try await peer.rest()
      #expect(try await holds { server.statistics.connections == 0 })
    }
  }

  @Test("a wait for the addresses ends with its task, or with the server")
  func addresses() async throws {
    let server = GRPCServer(on: .tcp("127.0.0.1", 0), services: [])
    let waiting = Task { try await server.listeningAddresses() }
    waiting.cancel()
    await #expect(throws: CancellationError.self) { _ = try await waiting.value }
    server.shutDown()
    try await server.run()
    await #expect(throws: ListenError.self) { _ = try await server.listeningAddresses() }
    await #expect(throws: ListenError.self) { try await server.run() }
  }
}
