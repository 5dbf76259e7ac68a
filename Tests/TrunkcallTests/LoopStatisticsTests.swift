// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkSockets
import TrunkTesting

@testable import Trunkcall

@Suite("What a server says about its loops", .timeLimit(.minutes(2)))
struct LoopStatisticsTests {
  private let answer = AdHocService(unary: ["Answer": { payload, _ in payload }])

  /// Calls one after the other, each answered with its payload.
  private func call(_ method: String, _ calls: Int, on peer: ScriptedPeer, from first: Int = 0)
    async throws
  {
    for call in first..<first + calls {
      let stream = Int32(call * 2 + 1)
      try await peer.call(stream, "/t.AdHoc/\(method)", messages: [[7]])
      #expect(try await peer.response(stream).messages == [[7]])
    }
  }

  @Test("connections are spread evenly, and each loop counts its own calls")
  func spread() async throws {
    var options = ServerOptions()
    options.loops = 2
    try await withServer([answer], options: options) { server, port in
      var peers: [ScriptedPeer] = []
      for _ in 0..<6 { peers.append(try await ScriptedPeer.connect(port: port)) }
      for peer in peers { try await call("Answer", 2, on: peer) }
      let statistics = server.statistics
      #expect(statistics.loops.map(\.connections) == [3, 3])
      #expect(statistics.loops.map(\.callsStarted) == [6, 6])
      for peer in peers { await peer.close() }
      #expect(try await holds { server.statistics.loops.map(\.connections) == [0, 0] })
    }
  }

  @Test("a handler that stays on its loop costs no wake-up and no job of another thread")
  func nothingRemote() async throws {
    var options = ServerOptions()
    options.loops = 2
    options.dispatch = .loop
    try await withServer([answer], options: options) { server, port in
      let peer = try await ScriptedPeer.connect(port: port)
      try await call("Answer", 1, on: peer)
      let before = server.statistics.loops
      try await call("Answer", 200, on: peer, from: 1)
      let after = server.statistics.loops
      #expect(after.map(\.callsStarted).reduce(0, +) == 201)
      #expect(after.map(\.remoteJobs) == before.map(\.remoteJobs))
      #expect(after.map(\.wakeups) == before.map(\.wakeups))
      await peer.close()
    }
  }

  @Test("a handler's call through a connection on its own loop costs neither")
  func downstream() async throws {
    let group = try EventLoopGroup(loops: 1)
    var options = ServerOptions()
    options.dispatch = .loop
    var channelOptions = ChannelOptions()
    channelOptions.group = group
    try await withServer([answer]) { _, port in
      try await withChannel(to: "ipv4:127.0.0.1:\(port)", options: channelOptions) { channel in
        try await channel.ready(within: .seconds(20))
        let front = AdHocService(unary: [
          "Forward": { payload, _ in
            try await channel.unary(AdHocService.method("Answer"), payload)
          }
        ])
        try await withServer([front], options: options, group: group) { server, port in
          let peer = try await ScriptedPeer.connect(port: port)
          try await call("Forward", 1, on: peer)
          let before = server.statistics.loops
          try await call("Forward", 200, on: peer, from: 1)
          let after = server.statistics.loops
          #expect(after.count == 1 && after[0].callsStarted == 201)
          #expect(after[0].remoteJobs == before[0].remoteJobs)
          #expect(after[0].wakeups == before[0].wakeups)
          await peer.close()
        }
      }
    }
    group.shutdown()
  }
}
