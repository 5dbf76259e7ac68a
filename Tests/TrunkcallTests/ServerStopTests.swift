// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Logging
import Testing
import TrunkSockets
import TrunkTesting
import TrunkWire

@testable import Trunkcall

#if ServiceLifecycle
  import ServiceLifecycle
#endif

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

  @Test("handlers are told when a graceful stop begins, on the loop and on the pool")
  func told() async throws {
    // Calls that have looked how things are before the stop.
    let asked = Locked(0)
    let service = AdHocService(unary: [
      "Signal": { _, call in
        let before = call.isShuttingDown
        asked.withLock { $0 += 1 }
        try await call.gracefulShutdown()
        return [before ? 1 : 0, call.isShuttingDown ? 1 : 0]
      },
      "Race": { _, call in
        // A wait that is cancelled beside its work.
        await withTaskGroup(of: Bool.self) { group in
          group.addTask { (try? await call.gracefulShutdown()) != nil }
          group.addTask { false }
          let first = await group.next() ?? true
          group.cancelAll()
          let second = await group.next() ?? true
          return [first ? 1 : 0, second ? 1 : 0]
        }
      },
      "Lifecycle": { _, _ in
        #if ServiceLifecycle
          let told = Gate()
          return await withGracefulShutdownHandler {
            let before = Task.isShuttingDownGracefully
            asked.withLock { $0 += 1 }
            await told.wait()
            return [before ? 1 : 0, Task.isShuttingDownGracefully ? 1 : 0]
          } onGracefulShutdown: {
            told.open()
          }
        #else
          asked.withLock { $0 += 1 }
          return [0, 1]
        #endif
      },
    ])
    for dispatch in [HandlerDispatch.loop, .concurrent] {
      var options = ServerOptions()
      options.dispatch = dispatch
      let server = GRPCServer(on: .tcp("127.0.0.1", 0), services: [service], options: options)
      let running = Task { try await server.run() }
      guard case .host(_, let port)? = try await server.listeningAddresses().first else { return }
      let peer = try await ScriptedPeer.connect(port: port)
      try await peer.call(1, "/t.AdHoc/Race", messages: [[]])
      #expect(try await peer.response(1).messages == [[0, 0]])
      try await peer.call(3, "/t.AdHoc/Signal", messages: [[]])
      try await peer.call(5, "/t.AdHoc/Lifecycle", messages: [[]])
      #expect(try await holds { asked.withLock { $0 } == 2 })
      asked.withLock { $0 = 0 }
      server.shutDown()
      #expect(try await peer.response(3).messages == [[0, 1]])
      #expect(try await peer.response(5).messages == [[0, 1]])
      // Answers the server's last PING.
      _ = try await peer.rest()
      try await running.value
    }
  }

  @Test("at the drain's end clients get a status, of streams and of calls that wait as well")
  func drainEnd() async throws {
    let probe = ProbeService()
    var options = ServerOptions()
    options.drain = .milliseconds(100)
    options.maxHandlersPerConnection = 3
    let server = GRPCServer(on: .tcp("127.0.0.1", 0), services: [probe], options: options)
    let running = Task { try await server.run() }
    guard case .host(_, let port)? = try await server.listeningAddresses().first else { return }
    let peer = try await ScriptedPeer.connect(port: port)
    try await peer.call(1, "/t.Probe/Wait", messages: [[1]])
    try await peer.send(.headers(3, ScriptedPeer.request("/t.Probe/Chat")))
    try await peer.send(.data(3, ScriptedPeer.message([5])))
    #expect(try await peer.message(on: 3) == [5])
    try await peer.send(.headers(5, ScriptedPeer.request("/t.Probe/Chat")))
    #expect(try await holds { server.statistics.callsStarted == 3 })
    try await peer.call(7, "/t.Probe/Echo", messages: [[1]])
    #expect(
      try await holds {
        server.statistics.callsStarted == 3 && server.statistics.callsWaiting == 1
      })
    server.shutDown()
    for stream in [1, 3, 5, 7] as [Int32] {
      let response = try await peer.response(stream)
      #expect(response.status == 14, "stream \(stream)")
      #expect(response["grpc-message"] == "the server is shutting down")
    }
    _ = try await peer.rest()
    try await running.value
    #expect(try await holds { probe.cancelled.withLock { $0 } == 3 })
    #expect(try await holds { server.statistics.handlersRunning == 0 })
  }

  @Test("a client that does not read does not keep the server from stopping")
  func drainEndUnread() async throws {
    var options = ServerOptions()
    options.drain = .milliseconds(50)
    let server = GRPCServer(
      on: .tcp("127.0.0.1", 0), services: [ProbeService()], options: options)
    let running = Task { try await server.run() }
    guard case .host(_, let port)? = try await server.listeningAddresses().first else { return }
    let peer = try await ScriptedPeer.connect(
      port: port, settings: [.init(4, 1 << 30)], answersByItself: false)
    try await peer.send(.windowUpdate(0, 1 << 30))
    try await peer.call(1, "/t.Probe/Flood", messages: [[1]])
    #expect(try await holds { server.statistics.callsStarted == 1 })
    server.shutDown()
    try await running.value
    #expect(server.statistics.connections == 0)
    await peer.close()
  }

  @Test("an error of the wait for signals is no signal: it is thrown, and the services stop")
  func signalsFail() async throws {
    let server = GRPCServer(on: .tcp("127.0.0.1", 0), services: [])
    await #expect(throws: SocketError.self) {
      try await run(
        [server],
        until: {
          _ = try await server.listeningAddresses()
          throw SocketError("eventfd", errno: 24)
        }, Logger(label: "test"))
    }
    await #expect(throws: ListenError.self) { _ = try await server.listeningAddresses() }
  }
}
