// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import EchoStubs
import FoundationEssentials
import Glibc
import ProcessSupport
import SwiftProtobuf
import Testing
import TrunkWire
import Trunkcall

@Suite("Our client calls grpcio", .timeLimit(.minutes(3)))
struct ClientInteropTests {
  private typealias Request = Trunkcall_Test_EchoRequest

  private func withPeer(
    _ body: (Trunkcall_Test_Echo.Client) async throws -> Void
  ) async throws {
    try await withStoppablePeer { echo, _ in try await body(echo) }
  }

  private func withStoppablePeer(
    _ body: (Trunkcall_Test_Echo.Client, ChildProcess) async throws -> Void
  ) async throws {
    let peer = try Grpcio.start("server")
    let line = try #require(
      try await peer.line(containing: "listening ", within: .seconds(60)), "\(peer.text)")
    let port = line.dropFirst("listening ".count)
    try await withChannel(to: "passthrough:///127.0.0.1:\(port)") { channel in
      try await channel.ready(within: .seconds(10))
      var client = Trunkcall_Test_Echo.Client(channel)
      client.options.timeout = .seconds(20)
      try await body(client, peer)
    }
  }

  private func failure(_ body: () async throws(RPCError) -> Void) async -> RPCError? {
    do throws(RPCError) { try await body() } catch { return error }
    return nil
  }

  @Test("unary: messages empty, small, and larger than the flow-control window")
  func unary() async throws {
    try await withPeer { echo in
      for size in [0, 1, 20_000, 1 << 20, 3 << 20] {
        var request = Request()
        request.payload = Data([UInt8](repeating: 7, count: size))
        let reply = try await echo.unary(request)
        #expect(reply.payload == request.payload, "\(size) bytes")
      }
    }
  }

  @Test("client streaming: three requests, one reply")
  func collect() async throws {
    try await withPeer { echo in
      let call = try await echo.collect()
      for text in ["a", "b", "c"] { try await call.requests.write(.with { $0.text = text }) }
      let sum = try await call.response()
      #expect(sum.text == "a b c" && sum.number == 3)
    }
  }

  @Test("server streaming: a hundred replies in order")
  func expand() async throws {
    try await withPeer { echo in
      var request = Request()
      request.count = 100
      let replies = try await echo.expand(request)
      var numbers: [Int32] = []
      while let reply = try await replies.next() { numbers.append(reply.number) }
      #expect(numbers == Array(0..<100))
    }
  }

  @Test("bidirectional streaming: twenty turns")
  func chat() async throws {
    try await withPeer { echo in
      let chat = try await echo.chat()
      for turn in 0..<20 {
        try await chat.requests.write(.with { $0.text = "\(turn)" })
        let reply = try await chat.responses.next()
        #expect(reply?.text == "\(turn)")
      }
      try await chat.requests.finish()
      let end = try await chat.responses.next()
      #expect(end == nil)
    }
  }

  @Test("metadata both ways, ASCII, binary and repeated, for unary and streams")
  func metadata() async throws {
    try await withPeer { echo in
      let bytes = Array(UInt8.min...UInt8.max)
      var options = CallOptions(timeout: .seconds(10))
      options.metadata.add("a", for: "x-echo-initial")
      options.metadata.add("b", for: "x-echo-initial")
      options.metadata.add(binary: [0, 255, 1], for: "x-echo-initial-bin")
      options.metadata.add("t", for: "x-echo-trailing")
      options.metadata.add(binary: bytes, for: "x-echo-trailing-bin")
      func check(_ initial: Metadata, _ trailing: Metadata) {
        #expect(initial[all: "x-echo-initial"] == ["a", "b"])
        #expect(initial[binary: "x-echo-initial-bin"] == [[0, 255, 1]])
        #expect(trailing["x-echo-trailing"] == "t")
        #expect(trailing[binary: "x-echo-trailing-bin"] == [bytes])
      }
      let response = try await echo.invoker.unaryResponse(
        Trunkcall_Test_Echo.Methods.unary, Request(), options)
      check(response.initialMetadata, response.trailingMetadata)
      #expect(response.peer.hasPrefix("127.0.0.1:"))
      let stream = try await echo.expand(.with { $0.count = 1 }, options: options)
      for try await _ in stream {}
      check(try await stream.initialMetadata, await stream.trailingMetadata)
    }
  }

  @Test("every status with its message, at once and after messages")
  func statuses() async throws {
    try await withPeer { echo in
      for code in RPCError.Code.allCases {
        let error = await failure { () async throws(RPCError) in
          _ = try await echo.unary(
            .with {
              $0.statusCode = Int32(code.rawValue)
              $0.statusMessage = "\t\nünï ☺ 😈 100%"
            })
        }
        #expect(error?.code == code && error?.origin == .peer)
        #expect(error?.message == "\t\nünï ☺ 😈 100%")
      }
      var seen = 0
      let late = await failure { () async throws(RPCError) in
        let stream = try await echo.expand(
          .with {
            $0.count = 3
            $0.statusCode = 10
          })
        while try await stream.next() != nil { seen += 1 }
      }
      #expect(seen == 3 && late?.code == .aborted)
      let unknown = MethodDescriptor<[UInt8], [UInt8]>(
        service: "trunkcall.test.Echo", method: "Nope", request: .bytes, response: .bytes)
      let error = await failure { () async throws(RPCError) in
        _ = try await echo.invoker.unary(unknown, [], CallOptions(timeout: .seconds(5)))
      }
      #expect(error?.code == .unimplemented)
    }
  }

  @Test("deadline, cancellation of a task, and dropping a stream")
  func endings() async throws {
    try await withPeer { echo in
      let late = await failure { () async throws(RPCError) in
        _ = try await echo.unary(
          .with { $0.sleepMs = 5_000 }, options: CallOptions(timeout: .milliseconds(200)))
      }
      #expect(late?.code == .deadlineExceeded)

      let task = Task {
        await failure { () async throws(RPCError) in
          _ = try await echo.unary(.with { $0.sleepMs = 5_000 })
        }
      }
      // grpcio has the call by then; cancelled before that, it ends in the same way.
      try await Task.sleep(for: .milliseconds(100))
      task.cancel()
      #expect(await task.value?.code == .cancelled)

      var stream: ResponseStream<Trunkcall_Test_EchoReply>? = try await echo.expand(
        .with {
          $0.count = 1_000
          $0.sleepMs = 10
        })
      #expect(try await stream?.next()?.number == 0)
      stream = nil
      #expect(try await echo.unary(.with { $0.text = "after" }).text == "after")
    }
  }

  @Test("a stop of the server (GOAWAY): the call under way finishes, later ones are UNAVAILABLE")
  func goAway() async throws {
    try await withStoppablePeer { echo, peer in
      let chat = try await echo.chat()
      try await chat.requests.write(.with { $0.text = "before" })
      #expect(try await chat.responses.next()?.text == "before")
      peer.signal(SIGTERM)
      // A call that meets the stop half way is CANCELLED by grpcio itself; the next ones find the
      // port closed.
      let end = ContinuousClock.now + .seconds(10)
      var refused: RPCError?
      while ContinuousClock.now < end, refused?.origin != .local {
        refused = await failure { () async throws(RPCError) in
          _ = try await echo.unary(.with { $0.text = "late" })
        }
        if refused?.origin == .peer { #expect(refused?.code == .cancelled) }
      }
      #expect(refused?.code == .unavailable, "\(refused as Any)")
      try await chat.requests.write(.with { $0.text = "after" })
      #expect(try await chat.responses.next()?.text == "after")
      try await chat.requests.finish()
      #expect(try await chat.responses.next() == nil)
    }
  }

  @Test("two hundred calls at once over one connection")
  func parallel() async throws {
    try await withPeer { echo in
      let texts = try await withThrowingTaskGroup(of: String.self) { group in
        for index in 0..<200 {
          group.addTask { try await echo.unary(.with { $0.text = "\(index)" }).text }
        }
        return try await group.reduce(into: Set<String>()) { $0.insert($1) }
      }
      #expect(texts.count == 200)
    }
  }
}
