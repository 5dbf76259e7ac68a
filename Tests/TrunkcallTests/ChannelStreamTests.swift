// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Synchronization
import Testing
import TrunkDiscovery
import TrunkHTTP2
import TrunkSockets
import TrunkWire

@testable import Trunkcall

@Suite(.timeLimit(.minutes(1))) struct ChannelStreamTests {
  @Test("all shapes: many replies, many requests, both ways")
  func shapes() async throws {
    let server = try await ScriptedServer { stream, event in
      switch (stream.path, event) {
      case ("/test.T/many", .ended):
        stream.respond(["x-init": "1"])
        for i in 0..<2000 { stream.send([UInt8(i & 255), UInt8(i >> 8)]) }
        stream.finish(["grpc-status": "0", "x-trail": "2"])
      case ("/test.T/sum", .ended):
        stream.respond()
        stream.send(Array("\(stream.messages.count)".utf8))
        stream.finish(["grpc-status": "0"])
      case ("/test.T/chat", _): ScriptedServer.echo(stream, event)
      default: break
      }
    }
    try await withChannel(to: server.target) { channel in
      let many = try await channel.serverStreaming(method("many"), [])
      let initial = try await many.initialMetadata
      #expect(initial["x-init"] == "1")
      var count = 0
      for try await message in many {
        if message != [UInt8(count & 255), UInt8(count >> 8)] { Issue.record("order") }
        count += 1
      }
      #expect(count == 2000)
      let trailing = await many.trailingMetadata
      #expect(trailing["x-trail"] == "2")

      let sum = try await channel.clientStreaming(method("sum"))
      for _ in 0..<100 { try await sum.requests.write([1, 2, 3]) }
      let response = try await sum.unaryResponse()
      #expect(text(response.message) == "100")
      #expect(server.target.hasSuffix(response.peer) && !response.peer.isEmpty)

      let chat = try await channel.bidirectional(method("chat"))
      var replies = chat.responses.makeAsyncIterator()
      for i in 0..<50 {
        try await chat.requests.write([UInt8(i)])
        let back = try await replies.next()
        #expect(back == [UInt8(i)])
      }
      try await chat.requests.finish()
      let end = try await replies.next()
      #expect(end == nil)
    }
  }

  @Test("what came before a failing status is delivered first, then the status")
  func messagesBeforeStatus() async throws {
    let server = try await ScriptedServer(
      .init(),
      ScriptedServer.whenEnded { stream in
        stream.respond()
        stream.send([1])
        stream.send([2])
        stream.finish(["grpc-status": "10", "grpc-message": "gone"])
      })
    try await withChannel(to: server.target) { channel in
      var got: [[UInt8]] = []
      let error = await failure {
        for try await message in try await channel.serverStreaming(method("M"), []) {
          got.append(message)
        }
      }
      #expect(got == [[1], [2]])
      #expect(error?.code == .aborted && error?.origin == .peer && error?.message == "gone")
    }
  }

  @Test("a slow reader holds the server back: no more than a window and a batch is under way")
  func slowReader() async throws {
    let sent = Counter(0)
    let server = try await ScriptedServer(
      .init(),
      ScriptedServer.whenEnded { stream in
        stream.respond()
        for _ in 0..<400 { stream.send([UInt8](repeating: 7, count: 10_000)) }
        stream.finish(["grpc-status": "0"])
        // What the client's window has not let out lies in the queue still.
        stream.after(.milliseconds(200), on: stream.loop) {
          sent.count.store(400 * 10_005 - $0.stream.queued, ordering: .sequentiallyConsistent)
        }
      })
    var options = ChannelOptions()
    options.streamWindow = 100_000
    try await withChannel(to: server.target, options: options) { channel in
      let replies = try await channel.serverStreaming(method("M"), [])
      await eventually("the server looked") {
        sent.count.load(ordering: .sequentiallyConsistent) > 0
      }
      let out = sent.count.load(ordering: .sequentiallyConsistent)
      #expect(out >= 60_000 && out <= 220_000, "\(out) bytes went out unread")
      var count = 0
      for try await message in replies { count += message.count }
      #expect(count == 4_000_000)
    }
  }

  @Test("a message larger than the stream's window arrives")
  func largeMessage() async throws {
    let server = try await ScriptedServer()
    var options = ChannelOptions()
    options.streamWindow = 65_535
    let large = [UInt8](repeating: 3, count: 3 << 20)
    try await withChannel(to: server.target, options: options) { channel in
      let reply = try await channel.unary(method("M"), large)
      #expect(reply == large)
      let chat = try await channel.bidirectional(method("M"))
      try await chat.requests.write(large)
      var replies = chat.responses.makeAsyncIterator()
      let back = try await replies.next()
      #expect(back == large)
    }
  }

  @Test("a writer waits for the server's window, and a cancelled one does not hang")
  func slowServer() async throws {
    let server = try await ScriptedServer(.init(initialWindowSize: 65_535)) { stream, event in
      if case .opened = event {
        stream.consumes = false
        stream.respond()
      }
    }
    try await withChannel(to: server.target) { channel in
      let call = try await channel.clientStreaming(method("M"))
      let written = Counter(0)
      try await withThrowingTaskGroup(of: RPCError?.self) { group in
        group.addTask {
          await failure {
            while true {
              try await call.requests.write([UInt8](repeating: 0, count: 20_000))
              written.count.wrappingAdd(1, ordering: .relaxed)
            }
          }
        }
        // The writer has to stand still by then.
        try await Task.sleep(for: .milliseconds(100))
        #expect(written.count.load(ordering: .relaxed) < 15)
        group.cancelAll()
        let error = try await group.next() ?? nil
        #expect(error?.code == .cancelled)
      }
    }
  }

  @Test("letting go of the handle, or cancelling the reading task, resets the stream with CANCEL")
  func dropped() async throws {
    let reasons = Locked<[StreamCloseReason]>([])
    let server = try await ScriptedServer { stream, event in
      switch event {
      case .opened: stream.respond()
      case .closed(let reason): reasons.withLock { $0.append(reason) }
      default: break
      }
    }
    try await withChannel(to: server.target) { channel in
      do {
        let call = try await channel.bidirectional(method("M"))
        _ = try await call.responses.initialMetadata
      }
      await eventually("dropped") { reasons.withLock { $0.count } == 1 }
      let task = Task {
        let call = try await channel.bidirectional(method("M"))
        for try await _ in call.responses {}
      }
      await eventually("opened") { await server.counts.calls == 2 }
      task.cancel()
      let error = await failure { try await task.value }
      #expect(error?.code == .cancelled)
      await eventually("cancelled") { reasons.withLock { $0.count } == 2 }
    }
    let seen = reasons.withLock { $0 }
    #expect(seen == [.code(HTTP2ErrorCode.cancel), .code(HTTP2ErrorCode.cancel)])
  }

  @Test("a server that ends early ends the call; writes after it do not fail an OK call")
  func earlyEnd() async throws {
    // Messages may arrive together: the first event answers, however many there are by then.
    let answered = Locked(false)
    let server = try await ScriptedServer { stream, event in
      guard case .message = event else { return }
      let isFirst = answered.withLock { answered in
        defer { answered = true }
        return !answered
      }
      guard isFirst else { return }
      stream.respond()
      stream.send([9])
      stream.finish(["grpc-status": "0"])
    }
    try await withChannel(to: server.target) { channel in
      let call = try await channel.clientStreaming(method("M"))
      for _ in 0..<20 {
        try await call.requests.write([1])
        try await Task.sleep(for: .milliseconds(2))
      }
      let reply = try await call.response()
      #expect(reply == [9])
    }
  }

  @Test("interceptors stand around unary and streaming calls, the first one outermost")
  func interceptors() async throws {
    struct Stamp: ClientInterceptor {
      let name: String
      func intercept(
        _ call: CallRequest, _ next: ClientInterceptor.Next
      ) async throws(RPCError) -> any ClientStream {
        var call = call
        call.options.metadata.add(name, for: "x-stamp")
        return try await next(call)
      }
    }
    let server = try await ScriptedServer(
      .init(),
      ScriptedServer.whenEnded { stream in
        stream.respond()
        stream.send(Array(stream.headers[all: "x-stamp"].joined(separator: ",").utf8))
        stream.finish(["grpc-status": "0"])
      })
    let stamps: [any ClientInterceptor] = [Stamp(name: "a"), Stamp(name: "b")]
    try await withChannel(to: server.target, interceptors: stamps) { channel in
      let reply = try await channel.unary(method("M"), [])
      #expect(text(reply) == "a,b")
      for try await message in try await channel.serverStreaming(method("M"), []) {
        #expect(text(message) == "a,b")
      }
    }
  }
}
