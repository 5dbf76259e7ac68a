// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Glibc
import Testing
import TrunkSockets
import TrunkWire

@testable import Trunkcall

@Suite("Calls within the process", .timeLimit(.minutes(1)))
struct InProcessTests {
  private static let cancelled = Locked(0)
  private static let sleeping = Locked(0)

  private let service = AdHocService(
    unary: [
      "Echo": { payload, call in
        try call.addInitialMetadata(["first": call.metadata["x"] ?? "none"])
        try call.addTrailingMetadata(["last": call.authority])
        return payload
      },
      "Fail": { _, _ in
        throw RPCError(.notFound, "nothing there", metadata: ["why": "because"])
      },
      "Break": { _, _ in
        struct Broken: Error {}
        throw Broken()
      },
      "Left": { _, call in Array("\(call.timeRemaining.map { $0 > .zero } ?? false)".utf8) },
      "Sleep": { payload, _ in
        try await withTaskCancellationHandler {
          InProcessTests.sleeping.withLock { $0 += 1 }
          try await Task.sleep(for: .seconds(30))
        } onCancel: {
          InProcessTests.cancelled.withLock { $0 += 1 }
        }
        return payload
      },
    ],
    streams: [
      "Chat": { requests, replies, call in
        try call.addInitialMetadata(["chat": "yes"])
        for try await request in requests { try await replies.write(request + request) }
        try call.addTrailingMetadata(["end": "good"])
      },
      "Flood": { _, replies, _ in
        while true { try await replies.write([UInt8](repeating: 1, count: 16 << 10)) }
      },
    ])
  private func method(_ name: String) -> MethodDescriptor<[UInt8], [UInt8]> {
    AdHocService.method(name)
  }
  private var channel: InProcessChannel { InProcessChannel([service]) }

  @Test("a unary call brings message and metadata both ways")
  func unary() async throws {
    let reply = try await channel.unaryResponse(
      method("Echo"), [1, 2], CallOptions(metadata: ["x": "y"]))
    #expect(reply.message == [1, 2])
    #expect(reply.initialMetadata["first"] == "y")
    #expect(reply.trailingMetadata["last"] == "in-process")
    #expect(reply.peer == "in-process")
  }

  @Test("a client-streaming call's response brings metadata and peer beside the message")
  func clientStreaming() async throws {
    let call = try await channel.clientStreaming(method("Chat"))
    try await call.requests.write([1])
    let response = try await call.unaryResponse()
    #expect(response.message == [1, 1])
    #expect(response.initialMetadata["chat"] == "yes")
    #expect(response.trailingMetadata["end"] == "good")
    #expect(response.peer == "in-process")
  }

  @Test("statuses are a network's: RPCErrors as they are, others UNKNOWN, methods UNIMPLEMENTED")
  func statuses() async throws {
    let channel = channel
    func end(_ name: String, _ request: [UInt8] = []) async -> RPCError? {
      await failure { _ = try await channel.unary(method(name), request) }
    }
    let failed = await end("Fail")
    #expect(failed?.code == .notFound && failed?.message == "nothing there")
    #expect(failed?.origin == .peer && failed?.metadata["why"] == "because")
    #expect(await end("Break")?.code == .unknown)
    #expect(await end("None")?.code == .unimplemented)
    #expect(await end("Echo", [UInt8](repeating: 0, count: 5 << 20))?.code == .resourceExhausted)
    let bad = await failure {
      _ = try await channel.unary(
        method("Echo"), [], CallOptions(metadata: ["grpc-odd": "reserved"]))
    }
    #expect(bad?.code == .internal)
  }

  @Test("a stream carries messages both ways, and ends with its trailers")
  func chat() async throws {
    let call = try await channel.bidirectional(method("Chat"))
    for byte in UInt8(1)...100 {
      try await call.requests.write([byte])
      let reply = try await call.responses.next()
      #expect(reply == [byte, byte])
    }
    try await call.requests.finish()
    #expect(try await call.responses.next() == nil)
    #expect(try await call.responses.initialMetadata["chat"] == "yes")
    #expect(await call.responses.trailingMetadata["end"] == "good")
  }

  @Test("the deadline ends the call and its handler; handlers inherit what is left")
  func deadlines() async throws {
    let channel = channel
    let before = InProcessTests.cancelled.withLock { $0 }
    for wait in [false, true] {
      let error = await failure {
        let options = CallOptions(timeout: .milliseconds(30))
        if wait {
          let call = try await channel.bidirectional(method("Sleep"), options)
          try await call.requests.write([])
          try await call.requests.finish()
          _ = try await call.responses.next()
        } else {
          _ = try await channel.unary(method("Sleep"), [], options)
        }
      }
      #expect(error?.code == .deadlineExceeded)
    }
    #expect(try await holds { InProcessTests.cancelled.withLock { $0 } == before + 2 })
    let left = try await channel.unary(method("Left"), [], CallOptions(timeout: .seconds(20)))
    #expect(left == Array("true".utf8))
  }

  /// Handlers that wait for the end of a test, whatever happens to their task.
  private final class Stubborn: Sendable {
    private let state = Locked<(isOpen: Bool, ran: Int, done: Int)>((false, 0, 0))
    func open() { state.withLock { $0.isOpen = true } }
    var ran: Int { state.withLock { $0.ran } }
    var done: Int { state.withLock { $0.done } }

    func wait() async {
      state.withLock { $0.ran += 1 }
      // Cancelled, a sleep of this task's own would return at once.
      while !state.withLock({ $0.isOpen }) {
        await Task.detached { try? await Task.sleep(for: .milliseconds(1)) }.value
      }
      state.withLock { $0.done += 1 }
    }
  }

  @Test("the deadline ends a call whose handler does not react; it ends once")
  func stubbornHandlers() async throws {
    let gate = Stubborn()
    let channel = InProcessChannel([
      AdHocService(unary: [
        "Wait": { payload, _ in
          await gate.wait()
          return payload
        },
        "Block": { payload, _ in
          _ = usleep(100_000)
          return payload
        },
      ])
    ])
    let options = CallOptions(timeout: .milliseconds(20))
    for name in ["Wait", "Block"] {
      let error = await failure { _ = try await channel.unary(method(name), [1], options) }
      #expect(error?.code == .deadlineExceeded && error?.origin == .local)
      let call = try await channel.bidirectional(method(name), options)
      try await call.requests.write([1])
      try await call.requests.finish()
      let end = await failure { while try await call.responses.next() != nil {} }
      #expect(end?.code == .deadlineExceeded && end?.origin == .local)
    }
    #expect(gate.ran == 2 && gate.done == 0)
    gate.open()
    #expect(try await holds { gate.done == 2 })
  }

  @Test("a deadline that has passed already starts no handler")
  func expired() async throws {
    let gate = Stubborn()
    let channel = InProcessChannel([
      AdHocService(unary: [
        "Count": { payload, _ in
          gate.open()
          await gate.wait()
          return payload
        }
      ])
    ])
    for timeout in [Duration.zero, .seconds(-1)] {
      let error = await failure {
        _ = try await channel.unary(method("Count"), [], CallOptions(timeout: timeout))
      }
      #expect(error?.code == .deadlineExceeded)
    }
    #expect(gate.ran == 0)
    _ = try await channel.unary(method("Count"), [], CallOptions(timeout: .seconds(20)))
    #expect(gate.ran == 1)
  }

  @Test("no deadline stays behind, however its call ended")
  func deadlinesGo() async throws {
    let channel = channel
    let options = CallOptions(timeout: .seconds(3_600))
    _ = try await channel.unary(method("Echo"), [1], options)
    _ = await failure { _ = try await channel.unary(method("Fail"), [], options) }
    #expect(try await holds { channel.deadlines.count == 0 })

    let task = Task { await failure { _ = try await channel.unary(method("Sleep"), [], options) } }
    #expect(try await holds { channel.deadlines.count == 1 })
    task.cancel()
    #expect(await task.value?.code == .cancelled)
    #expect(try await holds { channel.deadlines.count == 0 })

    let chat = try await channel.bidirectional(method("Chat"), options)
    try await chat.requests.write([1])
    _ = try await chat.responses.next()
    #expect(channel.deadlines.count == 1)
    try await chat.requests.finish()
    #expect(try await chat.responses.next() == nil)
    #expect(try await holds { channel.deadlines.count == 0 })

    var flood: BidirectionalCall<[UInt8], [UInt8]>? = try await channel.bidirectional(
      method("Flood"), options)
    _ = try await flood?.responses.next()
    flood?.cancel()
    #expect(channel.deadlines.count == 0)
    flood = try await channel.bidirectional(method("Flood"), options)
    _ = try await flood?.responses.next()
    #expect(channel.deadlines.count == 1)
    flood = nil
    #expect(try await holds { channel.deadlines.count == 0 })
  }

  @Test("a cancelled caller of a call with a deadline waits for no handler")
  func cancelledAtOnce() async throws {
    let gate = Stubborn()
    let channel = InProcessChannel([
      AdHocService(unary: [
        "Wait": { payload, _ in
          await gate.wait()
          return payload
        }
      ])
    ])
    let task = Task {
      await failure {
        _ = try await channel.unary(method("Wait"), [], CallOptions(timeout: .seconds(3_600)))
      }
    }
    #expect(try await holds { gate.ran == 1 })
    task.cancel()
    #expect(await task.value?.code == .cancelled)
    #expect(gate.done == 0)
    gate.open()
    #expect(try await holds { gate.done == 1 })
  }

  @Test("cancelling the caller cancels the handler; so does letting go of a stream")
  func cancellation() async throws {
    let channel = channel
    let before = InProcessTests.cancelled.withLock { $0 }
    let asleep = InProcessTests.sleeping.withLock { $0 }
    let task = Task { await failure { _ = try await channel.unary(method("Sleep"), []) } }
    #expect(try await holds { InProcessTests.sleeping.withLock { $0 } == asleep + 1 })
    task.cancel()
    #expect(await task.value?.code == .cancelled)
    var call: BidirectionalCall<[UInt8], [UInt8]>? = try await channel.bidirectional(
      method("Sleep"))
    try await call?.requests.write([])
    try await call?.requests.finish()
    #expect(try await holds { InProcessTests.sleeping.withLock { $0 } == asleep + 2 })
    call = nil
    #expect(try await holds { InProcessTests.cancelled.withLock { $0 } == before + 2 })
  }

  @Test("a writer waits for its reader")
  func backPressure() async throws {
    let call = try await channel.bidirectional(method("Flood"))
    var read = 0
    for _ in 0..<1_000 { read += try await call.responses.next()?.count ?? 0 }
    #expect(read == 1_000 * 16 << 10)
    call.cancel()
    let error = await failure { while try await call.responses.next() != nil {} }
    #expect(error?.code == .cancelled)
  }

  @Test("interceptors stand on both sides")
  func interceptors() async throws {
    struct AddToken: ClientInterceptor {
      func intercept(
        _ call: CallRequest, _ next: ClientInterceptor.Next
      ) async throws(RPCError) -> any ClientStream {
        var call = call
        call.options.metadata.add("secret", for: "token")
        return try await next(call)
      }
    }
    struct WantToken: ServerInterceptor {
      func intercept(
        _ call: ServerCall, _ requests: any MessageSource, _ replies: any MessageSink,
        _ next: ServerInterceptor.Next
      ) async throws {
        guard call.metadata["token"] == "secret" else { throw RPCError(.permissionDenied, "no") }
        try await next(call, requests, replies)
      }
    }
    let guarded = InProcessChannel([service], serverInterceptors: [WantToken()])
    let refused = await failure { _ = try await guarded.unary(method("Echo"), [1]) }
    #expect(refused?.code == .permissionDenied)
    let open = InProcessChannel(
      [service], interceptors: [AddToken()], serverInterceptors: [WantToken()])
    let reply = try await open.unary(method("Echo"), [1])
    #expect(reply == [1])
  }
}
