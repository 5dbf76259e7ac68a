// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkSockets
import TrunkTesting

@testable import Trunkcall

@Suite("The tasks in which handlers run on the loop", .timeLimit(.minutes(2)))
struct HandlerTaskPoolTests {
  private enum Note { @TaskLocal static var value = 0 }

  /// Which task the handler runs in.
  private static func task() -> [UInt8] {
    withUnsafeCurrentTask { withUnsafeBytes(of: $0?.hashValue ?? 0) { Array($0) } }
  }

  private static let service = AdHocService(unary: [
    "Task": { _, _ in HandlerTaskPoolTests.task() },
    "Cancelled": { payload, _ in
      if payload == [1] { try? await Task.sleep(for: .seconds(30)) }
      return [Task.isCancelled ? 1 : 0]
    },
    "CancelSelf": { payload, _ in
      let was = Task.isCancelled
      if payload == [1] { withUnsafeCurrentTask { $0?.cancel() } }
      return [was ? 1 : 0]
    },
    "CancelLate": { payload, _ in
      let was = Task.isCancelled
      if payload == [1] {
        await Task.yield()
        withUnsafeCurrentTask { $0?.cancel() }
        await Task.yield()
      }
      return [was ? 1 : 0]
    },
    "Escalate": { payload, _ in
      let before = Task.currentPriority
      if payload == [1] {
        withUnsafeCurrentTask { $0?.escalatePriority(to: .high) }
      }
      return [before.rawValue]
    },
    "Prefer": { payload, _ in
      let isOnLoop = await withTaskExecutorPreference(
        payload == [1] ? globalConcurrentExecutor : nil
      ) { await HandlerTaskPoolTests.isOnLoop() }
      return [isOnLoop ? 1 : 0]
    },
    "Leave": { payload, _ in
      if payload == [1] {
        // Outlives the call, and cancels nobody's but its own.
        Task { withUnsafeCurrentTask { $0?.cancel() } }
        await withTaskGroup(of: Void.self) { group in
          group.addTask { withUnsafeCurrentTask { $0?.cancel() } }
          group.addTask { try? await Task.sleep(for: .seconds(30)) }
          group.cancelAll()
        }
        // Cancelled and waited for at the end of its scope.
        async let child: Void? = try? Task.sleep(for: .seconds(30))
        await withTaskCancellationHandler {
          await Task.yield()
        } onCancel: {
        }
      }
      return [Task.isCancelled ? 1 : 0]
    },
    "Note": { payload, _ in
      if payload == [1] {
        return Note.$value.withValue(1) { [UInt8(Note.value)] }
      }
      return [UInt8(Note.value)]
    },
  ])

  private static func isOnLoop() async -> Bool {
    EventLoopGroup.shared.loops.contains { $0.isCurrent }
  }

  /// Calls that are sent in one write.
  private func answers(
    _ peer: ScriptedPeer, _ method: String, _ payloads: [[UInt8]], from first: Int32 = 1
  ) async throws -> [[UInt8]] {
    let streams = payloads.indices.map { first + Int32($0) * 2 }
    var frames: [ScriptedFrame] = []
    for (stream, payload) in zip(streams, payloads) {
      frames.append(.headers(stream, ScriptedPeer.request("/t.AdHoc/\(method)")))
      frames.append(.data(stream, ScriptedPeer.message(payload), endStream: true))
    }
    try await peer.send(frames)
    var answers: [[UInt8]] = []
    for stream in streams {
      let response = try await peer.response(stream)
      #expect(response.status == 0)
      answers += response.messages
    }
    return answers
  }

  @Test("handlers that do not wait share one task, those of later calls included")
  func shared() async throws {
    try await withServer([HandlerTaskPoolTests.service]) { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      let payloads = [[UInt8]](repeating: [], count: 20)
      let first = try await answers(peer, "Task", payloads)
      let later = try await answers(peer, "Task", payloads, from: 101)
      #expect(first.count == 20 && later.count == 20)
      #expect(Set(first + later).count == 1)
      await peer.close()
    }
  }

  @Test("a handler that waits keeps its task; the calls that came with it run")
  func waiting() async throws {
    let gate = Gate()
    let service = AdHocService(unary: [
      "Meet": { payload, _ in
        let task = HandlerTaskPoolTests.task()
        if payload == [1] { gate.open() } else { await gate.wait() }
        return task
      }
    ])
    try await withServer([service]) { server, port in
      let peer = try await ScriptedPeer.connect(port: port)
      // The last one lets the others go on.
      let tasks = try await answers(peer, "Meet", [[0], [0], [0], [1]])
      #expect(Set(tasks).count == 4)
      #expect(try await holds { server.statistics.handlersRunning == 0 })
      await peer.close()
    }
  }

  @Test("a cancelled call's task takes no other call")
  func cancelled() async throws {
    try await withServer([HandlerTaskPoolTests.service]) { server, port in
      let peer = try await ScriptedPeer.connect(port: port)
      for round in 0..<5 {
        let stream = Int32(round * 100 + 1)
        try await peer.call(stream, "/t.AdHoc/Cancelled", messages: [[1]])
        #expect(try await holds { server.statistics.handlersRunning == 1 })
        try await peer.send(.reset(stream, 8))
        #expect(try await holds { server.statistics.handlersRunning == 0 })
        let payloads = [[UInt8]](repeating: [0], count: 10)
        let answers = try await answers(peer, "Cancelled", payloads, from: stream + 2)
        #expect(answers == payloads)
      }
      #expect(server.statistics.callsCancelled == 5)
      await peer.close()
    }
  }

  @Test(
    "a handler that cancels its own task cancels no other call",
    arguments: ["CancelSelf", "CancelLate", "Leave"])
  func cancelledByItself(_ method: String) async throws {
    try await withServer([HandlerTaskPoolTests.service]) { server, port in
      let peer = try await ScriptedPeer.connect(port: port)
      for round in 0..<3 {
        let payloads = [[UInt8]](repeating: [1], count: 5)
        let answers = try await answers(peer, method, payloads, from: Int32(round * 100 + 1))
        #expect(answers == [[UInt8]](repeating: [0], count: 5))
      }
      #expect(try await holds { server.statistics.handlersRunning == 0 })
      await peer.close()
    }
  }

  @Test("a priority that a handler was raised to is not the next one's")
  func escalated() async throws {
    try await withServer([HandlerTaskPoolTests.service]) { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      let payloads = [[UInt8]](repeating: [1], count: 5)
      let answers = try await answers(peer, "Escalate", payloads)
      #expect(Set(answers) == [answers[0]])
      await peer.close()
    }
  }

  @Test("an executor that a handler prefers for a while is not the next one's")
  func executorPreference() async throws {
    try await withServer([HandlerTaskPoolTests.service]) { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      #expect(try await answers(peer, "Prefer", [[1], [0], [1], [0]]) == [[0], [1], [0], [1]])
      await peer.close()
    }
  }

  @Test("what a handler binds to its task is gone for the next one")
  func taskLocals() async throws {
    try await withServer([HandlerTaskPoolTests.service]) { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      #expect(try await answers(peer, "Note", [[1], [0], [1], [0]]) == [[1], [0], [1], [0]])
      await peer.close()
    }
  }

  @Test("more handlers may wait at once than runners are kept, and all end")
  func many() async throws {
    let gate = Gate()
    let service = AdHocService(unary: [
      "Wait": { _, _ in
        await gate.wait()
        return []
      }
    ])
    var options = ServerOptions()
    options.maxConcurrentStreams = 400
    options.maxHandlersPerConnection = 400
    let count = HandlerTaskPool.spare * 3
    try await withServer([service], options: options) { server, port in
      let peer = try await ScriptedPeer.connect(port: port)
      for round in 0..<2 {
        let first = Int32(round * 1_000 + 1)
        for call in 0..<count {
          try await peer.call(first + Int32(call) * 2, "/t.AdHoc/Wait", messages: [[]])
        }
        if round == 0 {
          #expect(try await holds { server.statistics.handlersRunning == count })
          gate.open()
        }
        for call in 0..<count {
          #expect(try await peer.response(first + Int32(call) * 2).status == 0)
        }
      }
      #expect(server.statistics.callsSucceeded == UInt64(count * 2))
      await peer.close()
    }
  }

  @Test("a server that has served is freed, with its loops and tasks", arguments: [false, true])
  func freed(_ ownLoops: Bool) async throws {
    final class Weak {
      weak var server: GRPCServer?
      weak var loop: EventLoop?
      weak var taskPool: HandlerTaskPool?
      var isFreed: Bool { server == nil && loop == nil && taskPool == nil }
    }
    var all: [Weak] = []
    for _ in 0..<51 {
      let weak = Weak()
      all.append(weak)
      var options = ServerOptions()
      options.loops = ownLoops ? 1 : nil
      try await withServer([HandlerTaskPoolTests.service], options: options) { server, port in
        let peer = try await ScriptedPeer.connect(port: port)
        #expect(try await answers(peer, "Cancelled", [[0], [0]]) == [[0], [0]])
        #expect(try await answers(peer, "CancelLate", [[1], [1]], from: 5) == [[0], [0]])
        await peer.close()
        weak.server = server
        let loop = server.loops.first
        if ownLoops { weak.loop = loop?.loop }
        weak.taskPool = "/t.AdHoc/CancelLate".withCString { path in
          loop?.method(UnsafeRawBufferPointer(start: path, count: 19))?.taskPool
        }
        #expect(weak.taskPool != nil)
      }
    }
    // What closes last is a moment behind.
    let isFreed = try await holds { all.allSatisfy(\.isFreed) }
    #expect(
      isFreed,
      """
      kept: \(all.count { $0.server != nil }) servers, \(all.count { $0.loop != nil }) loops, \
      \(all.count { $0.taskPool != nil }) methods' runners
      """)
  }
}
