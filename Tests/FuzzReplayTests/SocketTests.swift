// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import FuzzTargets
import Testing
import TrunkTesting
import Trunkcall

/// A random source that repeats itself.
private struct SplitMix: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

/// Programs of frames, random but the same every time.
private func programs(_ seed: UInt64, _ count: Int) -> [[UInt8]] {
  var random = SplitMix(state: seed)
  return (0..<count).map { _ in
    [1, 0]
      + (0..<Int.random(in: 20...400, using: &random)).map { _ in
        .random(in: 0...255, using: &random)
      }
  }
}

private struct Echo: RPCService {
  static let unary = MethodDescriptor<[UInt8], [UInt8]>(
    service: "t.S", method: "M", request: .bytes, response: .bytes)
  static let chat = MethodDescriptor<[UInt8], [UInt8]>(
    service: "t.S", method: "Chat", request: .bytes, response: .bytes)

  func register(in table: inout MethodTable) {
    table.unary(Echo.unary) { payload, _ in payload }
    table.bidirectional(Echo.chat) { requests, replies, _ in
      for try await request in requests { try await replies.write(request) }
    }
  }
}

@Suite("Fuzzed frames over sockets", .timeLimit(.minutes(3))) struct SocketTests {
  @Test("whatever clients send: a neighbour is served, and no connection is left behind")
  func clients() async throws {
    let server = GRPCServer(on: .tcp("127.0.0.1", 0), services: [Echo()])
    let running = Task { try await server.run() }
    guard case .host(_, let port)? = try await server.listeningAddresses().first else { return }
    try await withChannel(to: "ipv4:127.0.0.1:\(port)") { neighbour in
      for batch in 0..<20 as Range<UInt64> {
        await withTaskGroup(of: Void.self) { group in
          for program in programs(batch, 8) {
            group.addTask {
              guard let peer = try? await ScriptedPeer.connect(port: port) else { return }
              try? await peer.send(raw: FuzzedBytes.ofClient(program))
              try? await peer.send(.ping([1, 2, 3, 4, 5, 6, 7, 8]))
              _ = try? await peer.next(where: { frame in
                if case .ping(_, ack: true) = frame { true } else { false }
              })
              await peer.close()
            }
          }
        }
        let reply = try await neighbour.unary(Echo.unary, [7], CallOptions(timeout: .seconds(30)))
        #expect(reply == [7])
      }
      let clock = ContinuousClock()
      let end = clock.now + .seconds(30)
      var statistics = server.statistics
      while clock.now < end, statistics.connections > 1 {
        try await Task.sleep(for: .milliseconds(10))
        statistics = server.statistics
      }
      #expect(statistics.connections == 1)
    }
    server.shutDown()
    try await running.value
  }

  @Test("whatever servers send: every call ends, none later than its deadline")
  func servers() async throws {
    for batch in 0..<10 as Range<UInt64> {
      try await withThrowingTaskGroup(of: Duration.self) { group in
        for program in programs(batch &+ 1_000, 8) {
          group.addTask { try await SocketTests.call(program) }
        }
        var ended = 0
        for try await time in group {
          #expect(time < .seconds(20))
          ended += 1
        }
        #expect(ended == 8)
      }
    }
  }

  /// - Returns: how long three calls took to a server that sends `program`.
  private static func call(_ program: [UInt8]) async throws -> Duration {
    let listener = try await ScriptedPeerListener.listen()
    defer { listener.close() }
    var options = ChannelOptions()
    options.closeDeadline = .milliseconds(100)
    return try await withChannel(to: "ipv4:127.0.0.1:\(listener.port)", options: options) {
      channel in
      let clock = ContinuousClock()
      let start = clock.now
      let timeout = CallOptions(timeout: .milliseconds(300))
      async let first = try? await channel.unary(Echo.unary, [1], timeout)
      async let second = try? await channel.unary(Echo.unary, [2], timeout)
      let third = Task {
        let call = try await channel.bidirectional(Echo.chat, timeout)
        try await call.requests.write([3])
        for try await _ in call.responses {}
      }
      if let peer = try? await listener.accept(settings: nil) {
        try? await peer.send(raw: FuzzedBytes.ofServer(program))
        _ = (await first, await second, try? await third.value)
        await peer.close()
      }
      _ = (await first, await second, try? await third.value)
      return clock.now - start
    }
  }
}
