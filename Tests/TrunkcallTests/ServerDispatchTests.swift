// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Glibc
import Testing
import TrunkSockets
import TrunkTesting
import TrunkWire

@testable import Trunkcall

/// Whether the caller runs on one of the process' shared loops.
private var isOnLoop: Bool { EventLoopGroup.shared.loops.contains { $0.isCurrent } }

/// Serialized: they measure time, and tests beside them burn the same two cores.
@Suite("Where handlers run (.automatic, .loop, .concurrent)", .serialized, .timeLimit(.minutes(2)))
struct ServerDispatchTests {
  private static let goesOn = Locked(false)

  /// Replies 1 from a loop, else 0.
  private let service = AdHocService(unary: [
    "Where": { _, _ in [isOnLoop ? 1 : 0] },
    "Burn": { _, _ in
      let place: UInt8 = isOnLoop ? 1 : 0
      let end = Clock.now() + 5_000_000
      while Clock.now() < end {}
      return [place]
    },
    "Pause": { _, _ in
      let place: UInt8 = isOnLoop ? 1 : 0
      usleep(5_000)
      return [place]
    },
    // For 20 ms, or until it is told to go on.
    "Block": { payload, _ in
      if payload.isEmpty { usleep(20_000) }
      var milliseconds = payload == [1] ? 20_000 : 0
      while milliseconds > 0, !ServerDispatchTests.goesOn.withLock({ $0 }) {
        usleep(1_000)
        milliseconds -= 1
      }
      return []
    },
    "SleepThenBurn": { _, _ in
      try await Task.sleep(for: .milliseconds(1))
      let place: UInt8 = isOnLoop ? 1 : 0
      let end = Clock.now() + 5_000_000
      while Clock.now() < end {}
      return [place]
    },
  ])

  /// What `calls` calls of a method said about where they ran.
  private func places(
    _ method: String, calls: Int, _ options: ServerOptions = ServerOptions()
  ) async throws -> [UInt8] {
    var places: [UInt8] = []
    try await withServer([service], options: options) { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      for call in 0..<calls {
        let stream = Int32(call * 2 + 1)
        try await peer.call(stream, "/t.AdHoc/\(method)", messages: [[]])
        places += try await peer.response(stream).messages.first ?? [99]
      }
      await peer.close()
    }
    return places
  }

  @Test("a short handler stays on its loop", arguments: [200])
  func short(_ calls: Int) async throws {
    #expect(try await places("Where", calls: calls) == [UInt8](repeating: 1, count: calls))
  }

  @Test(
    "a hog is moved after its second long run, also one that has suspended before",
    arguments: ["Burn", "Pause", "SleepThenBurn"])
  func moved(_ method: String) async throws {
    let places = try await places(method, calls: 8)
    // The CPU may be taken away in the middle of a run, so that one more is needed to be sure.
    #expect(places.prefix(2) == [1, 1])
    #expect(places.suffix(3) == [0, 0, 0], "\(places)")
  }

  @Test(".loop keeps a hog where it is, .concurrent never touches the loop; by server and method")
  func overrides() async throws {
    var loop = ServerOptions()
    loop.dispatch = .loop
    #expect(try await places("Burn", calls: 5, loop) == [1, 1, 1, 1, 1])
    var pool = ServerOptions()
    pool.dispatch = .concurrent
    #expect(try await places("Where", calls: 3, pool) == [0, 0, 0])
    var method = ServerOptions()
    method.dispatch = .concurrent
    method.dispatchByMethod = ["/t.AdHoc/Where": .loop]
    #expect(try await places("Where", calls: 3, method) == [1, 1, 1])
  }

  @Test("after the detection a blocked handler's neighbours on the same connection go on")
  func neighbours() async throws {
    try await withServer([service]) { server, port in
      let peer = try await ScriptedPeer.connect(port: port)
      var stream: Int32 = 1
      while server.statistics.movedMethods.isEmpty, stream < 20 {
        try await peer.call(stream, "/t.AdHoc/Block", messages: [[]])
        _ = try await peer.response(stream)
        stream += 2
      }
      #expect(server.statistics.movedMethods == ["/t.AdHoc/Block"])
      let blocked = stream
      try await peer.call(blocked, "/t.AdHoc/Block", messages: [[1]])
      // It blocks for as long as they take.
      for _ in 0..<20 {
        stream += 2
        try await peer.call(stream, "/t.AdHoc/Where", messages: [[]])
        #expect(try await peer.response(stream).status == 0)
      }
      #expect(server.statistics.handlersRunning == 1)
      ServerDispatchTests.goesOn.withLock { $0 = true }
      #expect(try await peer.response(blocked).status == 0)
      await peer.close()
    }
  }

  @Test("a method that was moved comes back after a while, and stays away twice as long next time")
  func comesBack() throws {
    let log = LogLines()
    let path = try #require(MethodIndex([service], [], dispatch: { _ in .automatic }).methods.first)
    let second: UInt64 = 1_000_000_000
    #expect(!path.startsOnPool(at: second))
    path.moveToPool(2_000_000, at: second, log.logger)
    #expect(path.startsOnPool(at: 60 * second) && path.hasMoved(at: 60 * second))
    path.moveToPool(2_000_000, at: 30 * second, log.logger)
    #expect(!path.startsOnPool(at: 61 * second) && !path.hasMoved(at: 61 * second))
    path.moveToPool(2_000_000, at: 100 * second, log.logger)
    #expect(path.startsOnPool(at: 219 * second) && !path.startsOnPool(at: 220 * second))
    var now = 1_000 * second
    for _ in 0..<10 {
      path.moveToPool(2_000_000, at: now, log.logger)
      now += 16 * 60 * second
      #expect(!path.startsOnPool(at: now))
    }
    let notices = log.lines.filter { $0.contains("held its event loop") }
    #expect(notices.count == 1 && notices[0].contains("ServerOptions.dispatchByMethod"))
  }
}
