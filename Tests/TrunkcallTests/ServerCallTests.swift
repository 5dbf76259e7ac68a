// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkSockets
import TrunkTesting
import TrunkWire

@testable import Trunkcall

/// Handlers that a test writes where it needs them.
struct AdHocService: RPCService {
  var unary: [String: @Sendable ([UInt8], ServerCall) async throws -> [UInt8]] = [:]
  var streams:
    [String:
      @Sendable (RequestStream<[UInt8]>, MessageWriter<[UInt8]>, ServerCall) async throws -> Void] =
      [:]

  func register(in table: inout MethodTable) {
    for (name, handler) in unary { table.unary(AdHocService.method(name), handler) }
    for (name, handler) in streams { table.bidirectional(AdHocService.method(name), handler) }
  }

  static func method(_ name: String) -> MethodDescriptor<[UInt8], [UInt8]> {
    MethodDescriptor(service: "t.AdHoc", method: name, request: .bytes, response: .bytes)
  }
}

/// Opened once; whoever waits goes on then.
final class Gate: Sendable {
  private let stream: AsyncStream<Void>
  private let continuation: AsyncStream<Void>.Continuation
  init() { (stream, continuation) = AsyncStream.makeStream() }
  func open() { continuation.finish() }
  /// Also while its task is cancelled.
  func wait() async {
    await Task { for await _ in self.stream {} }.value
  }
}

@Suite("Calls on the server: ends, credit, cancellation", .timeLimit(.minutes(2)))
struct ServerCallTests {
  private typealias Peer = ScriptedPeer

  @Test("a server that ends first sends RST_STREAM NO_ERROR behind its trailers")
  func endsFirst() async throws {
    let service = AdHocService(streams: ["Hasty": { _, replies, _ in try await replies.write([1]) }]
    )
    try await withServer([service]) { _, port in
      let peer = try await Peer.connect(port: port)
      try await peer.send(.headers(1, Peer.request("/t.AdHoc/Hasty")))
      let response = try await peer.response(1)
      #expect(response.status == 0 && response.messages == [[1]])
      #expect(try await peer.next { $0.stream == 1 } == .reset(1, 0))
      await peer.close()
    }
  }

  @Test("a failed call is Trailers-Only, unless it has initial metadata")
  func initialMetadataOfFailure() async throws {
    let service = AdHocService(unary: [
      "Plain": { _, _ in throw RPCError(.notFound, "no") },
      "Rich": { _, call in
        try call.addInitialMetadata(["x-early": "1"])
        throw RPCError(.notFound, "no", metadata: ["x-late": "2"])
      },
    ])
    try await withServer([service]) { _, port in
      let peer = try await Peer.connect(port: port)
      try await peer.call(1, "/t.AdHoc/Plain", messages: [[]])
      try await peer.call(3, "/t.AdHoc/Rich", messages: [[]])
      let plain = try await peer.response(1)
      let rich = try await peer.response(3)
      #expect(plain.isTrailersOnly && plain.status == 5)
      #expect(!rich.isTrailersOnly && rich.status == 5)
      #expect(rich["x-early"] == "1" && rich.trailer("x-late") == "2")
      #expect(rich.trailer("x-early") == nil)
      await peer.close()
    }
  }

  @Test("a handler cannot send reserved names, nor initial metadata after its first message")
  func reserved() async throws {
    let codes = Locked<[RPCError.Code]>([])
    let service = AdHocService(streams: [
      "Meta": { _, replies, call in
        for name in ["grpc-status", ":path", "te", "content-type", "bad name"] {
          do { try call.addTrailingMetadata([name: "x"]) } catch let error as RPCError {
            codes.withLock { $0.append(error.code) }
          }
        }
        try await replies.write([1])
        do { try call.addInitialMetadata(["x": "late"]) } catch let error as RPCError {
          codes.withLock { $0.append(error.code) }
        }
      }
    ])
    try await withServer([service]) { _, port in
      let peer = try await Peer.connect(port: port)
      try await peer.call(1, "/t.AdHoc/Meta", messages: [[]])
      let response = try await peer.response(1)
      #expect(response.status == 0 && response["x"] == nil)
      #expect(
        codes.withLock { $0 } == Array(repeating: .internal, count: 5) + [.failedPrecondition])
      await peer.close()
    }
  }

  @Test("a handler that does not read stops the client; reading gives the credit back")
  func slowHandler() async throws {
    let gate = Gate()
    let service = AdHocService(streams: [
      "Slow": { requests, replies, _ in
        await gate.wait()
        var count: UInt8 = 0
        for try await _ in requests { count += 1 }
        try await replies.write([count])
      }
    ])
    var options = ServerOptions()
    options.streamWindow = 65_535
    try await withServer([service], options: options) { server, port in
      let peer = try await Peer.connect(port: port)
      try await peer.send(.headers(1, Peer.request("/t.AdHoc/Slow")))
      for _ in 0..<6 {
        try await peer.send(.data(1, Peer.message([UInt8](repeating: 7, count: 9_995))))
      }
      // What comes back for a PING shows all that the server had to say before it.
      #expect(try await holds { server.statistics.callsStarted == 1 })
      try await peer.send(.ping([1, 2, 3, 4, 5, 6, 7, 8]))
      var credit = 0
      while let frame = try await peer.next() {
        if case .windowUpdate(1, let count) = frame { credit += Int(count) }
        if case .ping(_, ack: true) = frame { break }
      }
      #expect(credit == 0, "60,000 bytes lie unread, and the window is 65,535")
      gate.open()
      while credit < 30_000,
        case .windowUpdate(1, let count)? = try await peer.next(where: {
          if case .windowUpdate(1, _) = $0 { true } else { false }
        })
      { credit += Int(count) }
      #expect(credit >= 30_000)
      try await peer.send(.data(1, Peer.message([1]), endStream: true))
      #expect(try await peer.response(1).messages == [[7]])
      await peer.close()
    }
  }

  @Test(
    "a child task that is cancelled while it reads loses no message",
    arguments: [HandlerDispatch.loop, .concurrent])
  func cancelledChild(_ dispatch: HandlerDispatch) async throws {
    let childEnded = Gate()
    let service = AdHocService(streams: [
      "Child": { requests, replies, _ in
        let first = await withTaskGroup(of: RPCError.Code?.self) { group in
          group.addTask {
            do {
              _ = try await requests.next()
              return nil
            } catch { return (error as? RPCError)?.code }
          }
          group.addTask {
            try? await Task.sleep(for: .milliseconds(50))
            return nil
          }
          _ = await group.next()  // the sleeper: nothing was sent yet
          group.cancelAll()
          return await group.next() ?? nil
        }
        childEnded.open()
        let second = try await requests.next()
        try await replies.write([UInt8(first?.rawValue ?? 99)] + (second ?? []))
      }
    ])
    var options = ServerOptions()
    options.dispatch = dispatch
    try await withServer([service], options: options) { _, port in
      let peer = try await Peer.connect(port: port)
      try await peer.send(.headers(1, Peer.request("/t.AdHoc/Child")))
      await childEnded.wait()
      try await peer.send(.data(1, Peer.message([42]), endStream: true))
      #expect(try await peer.response(1).messages == [[1, 42]])
      await peer.close()
    }
  }

  @Test(
    "a child task that is cancelled while it waits to write ends, and the stream goes on",
    arguments: [HandlerDispatch.loop, .concurrent])
  func cancelledWriter(_ dispatch: HandlerDispatch) async throws {
    let isFull = Gate()
    let mayCancel = Gate()
    let writerEnded = Gate()
    let service = AdHocService(streams: [
      "Child": { _, replies, _ in
        let code = await withTaskGroup(of: RPCError.Code?.self) { group in
          group.addTask {
            do {
              // More than the client's windows and the mark: the first waits for room.
              try await replies.write([UInt8](repeating: 1, count: 200_000))
              return nil
            } catch { return (error as? RPCError)?.code }
          }
          isFull.open()
          await mayCancel.wait()
          group.cancelAll()
          return await group.next() ?? nil
        }
        writerEnded.open()
        try await replies.write([UInt8(code?.rawValue ?? 99)])
      }
    ])
    var options = ServerOptions()
    options.dispatch = dispatch
    try await withServer([service], options: options) { _, port in
      let peer = try await Peer.connect(port: port, answersByItself: false)
      try await peer.send(.settingsAck)
      try await peer.send(.headers(1, Peer.request("/t.AdHoc/Child"), endStream: true))
      await isFull.wait()
      // All that the windows let through: the writer waits.
      var received: [UInt8] = []
      while received.count < 65_535,
        case .data(1, let bytes, _)? = try await peer.next(where: {
          if case .data = $0 { true } else { false }
        })
      { received += bytes }
      mayCancel.open()
      await writerEnded.wait()
      try await peer.send([.windowUpdate(0, 1 << 20), .windowUpdate(1, 1 << 20)])
      let sizes = 5 + 200_000 + 5 + 1
      while received.count < sizes,
        case .data(1, let bytes, _)? = try await peer.next(where: {
          if case .data = $0 { true } else { false }
        })
      { received += bytes }
      // The message was queued before the wait, which alone was cancelled.
      #expect(received.count == sizes && received.last == 1)
      await peer.close()
    }
  }

  @Test(
    "a second reader of a stream is refused; the first one gets its message",
    arguments: [HandlerDispatch.loop, .concurrent])
  func twoReaders(_ dispatch: HandlerDispatch) async throws {
    let refused = Gate()
    let service = AdHocService(streams: [
      "Two": { requests, replies, _ in
        let results = await withTaskGroup(of: [UInt8].self) { group in
          for _ in 0..<2 {
            group.addTask {
              do { return try await requests.next() ?? [] } catch {
                refused.open()
                return [UInt8((error as? RPCError)?.code.rawValue ?? 99)]
              }
            }
          }
          return await group.reduce(into: []) { $0.append($1) }
        }
        try await replies.write(results.flatMap { $0 }.sorted())
      }
    ])
    var options = ServerOptions()
    options.dispatch = dispatch
    try await withServer([service], options: options) { _, port in
      let peer = try await Peer.connect(port: port)
      try await peer.send(.headers(1, Peer.request("/t.AdHoc/Two")))
      await refused.wait()
      try await peer.send(.data(1, Peer.message([42]), endStream: true))
      // FAILED_PRECONDITION is 9.
      #expect(try await peer.response(1).messages == [[9, 42]])
      await peer.close()
    }
  }

  @Test("a handler may outlive its connection, on the loop and off it", arguments: [true, false])
  func outlives(_ onLoop: Bool) async throws {
    let gate = Gate()
    let peers = Locked<[String]>([])
    let service = AdHocService(
      unary: ["Echo": { payload, _ in payload }],
      streams: [
        "Stubborn": { requests, replies, call in
          await gate.wait()
          peers.withLock { $0.append(call.peer) }
          let error = await #expect(throws: RPCError.self) { try await replies.write([1]) }
          #expect(error?.code == .cancelled)
          _ = try await requests.next()
        }
      ])
    var options = ServerOptions()
    options.dispatch = onLoop ? .loop : .concurrent
    try await withServer([service], options: options) { server, port in
      let peer = try await Peer.connect(port: port)
      try await peer.send(.headers(1, Peer.request("/t.AdHoc/Stubborn")))
      #expect(try await holds { server.statistics.callsStarted == 1 })
      await peer.close()
      #expect(try await holds { server.statistics.connections == 0 })
      gate.open()
      #expect(try await holds { peers.withLock { $0.count } == 1 })
      let second = try await Peer.connect(port: port)
      try await second.call(1, "/t.AdHoc/Echo", messages: [[5]])
      #expect(try await second.response(1).messages == [[5]])
      await second.close()
    }
  }

  @Test("handlers of cancelled calls count until they have ended (CVE-2023-44487)")
  func handlerLimit() async throws {
    let gate = Gate()
    let service = AdHocService(unary: [
      "Stubborn": { payload, _ in
        await gate.wait()
        return payload
      },
      "Echo": { payload, _ in payload },
    ])
    var options = ServerOptions()
    options.maxHandlersPerConnection = 4
    options.maxWaitingCalls = 0
    try await withServer([service], options: options) { server, port in
      let peer = try await Peer.connect(port: port)
      for stream in stride(from: Int32(1), through: 7, by: 2) {
        try await peer.call(stream, "/t.AdHoc/Stubborn", messages: [[]])
      }
      #expect(try await holds { server.statistics.callsStarted == 4 })
      for stream in stride(from: Int32(1), through: 7, by: 2) {
        try await peer.send(.reset(stream, 8))
      }
      try await peer.call(9, "/t.AdHoc/Echo", messages: [[]])
      #expect(try await peer.response(9).status == 8)
      gate.open()
      var stream: Int32 = 11
      let recovered = try await holds {
        try? await peer.call(stream, "/t.AdHoc/Echo", messages: [[]])
        defer { stream += 2 }
        return (try? await peer.response(stream).status) == 0
      }
      #expect(recovered)
      await peer.close()
    }
  }

  @Test("a deadline whose trailers cannot leave ends in RST_STREAM CANCEL")
  func stuckTrailers() async throws {
    let probe = ProbeService()
    try await withServer([probe]) { _, port in
      let peer = try await Peer.connect(port: port)
      try await peer.call(
        1, "/t.Probe/Flood", [ScriptedHeader("grpc-timeout", "200m")], messages: [[]])
      let end = try await peer.next {
        if case .reset(1, _) = $0 { true } else { false }
      }
      #expect(end == .reset(1, 8))
      #expect(try await holds { probe.cancelled.withLock { $0 } == 1 })
      await peer.close()
    }
  }
}
