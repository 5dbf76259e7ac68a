// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Synchronization
import Testing
import TrunkDiscovery
import TrunkHTTP2
import TrunkSockets
import TrunkWire

@testable import Trunkcall

/// A method whose messages are bytes.
func method(_ name: String) -> MethodDescriptor<[UInt8], [UInt8]> {
  MethodDescriptor(service: "test.T", method: name, request: .bytes, response: .bytes)
}

func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

/// The error of `body`; nil if it throws none.
func failure(_ body: () async throws -> Void) async -> RPCError? {
  do {
    try await body()
    return nil
  } catch {
    return error as? RPCError
  }
}

/// Lists whatever the test says, and counts how often it is asked to look again.
final class ManualResolver: Resolver {
  let scheme = "manual"
  private let session = Locked<ResolverSession?>(nil)
  private let early = Locked<Resolution?>(nil)
  let runs = Atomic<Int>(0)
  let refreshes = Atomic<Int>(0)
  let failures: Int

  init(_ resolution: Resolution? = nil, failures: Int = 0) {
    self.failures = failures
    early.withLock { $0 = resolution }
  }

  func authority(of target: Target) -> String { "manual.test" }

  func resolve(_ target: Target, _ session: ResolverSession) async throws {
    let run = runs.wrappingAdd(1, ordering: .relaxed).newValue
    if run <= failures { throw RPCError(.unknown, "manual failure \(run)") }
    self.session.withLock { $0 = session }
    if let early = early.withLock({ $0 }) { session.report(early) }
    while true {
      try await session.refreshRequested()
      refreshes.wrappingAdd(1, ordering: .relaxed)
    }
  }

  func report(_ resolution: Resolution) {
    early.withLock { $0 = resolution }
    session.withLock { $0 }?.report(resolution)
  }
}

func endpoints(_ servers: [ScriptedServer]) -> Resolution {
  Resolution(servers.map { Endpoint(Address("127.0.0.1", $0.port)) })
}

/// A number that closures share.
final class Counter: Sendable {
  let count: Atomic<Int>
  init(_ start: Int) { count = Atomic(start) }
}

/// Waits for something that happens elsewhere; fails after five seconds.
func eventually(
  _ comment: Comment, _ condition: () async -> Bool, location: SourceLocation = #_sourceLocation
) async {
  for _ in 0..<1000 {
    if await condition() { return }
    try? await Task.sleep(for: .milliseconds(5))
  }
  Issue.record(comment, sourceLocation: location)
}

@Suite(.timeLimit(.minutes(1))) struct ChannelUnaryTests {
  @Test("a unary call brings message, both metadata and the peer")
  func unary() async throws {
    let server = try await ScriptedServer { stream, event in
      guard case .ended = event else { return }
      stream.respond(["x-seen": stream.headers["x-in"] ?? ""])
      stream.send(stream.messages[0])
      stream.finish(["grpc-status": "0", "x-trail": "t"])
    }
    try await withChannel(to: server.target) { channel in
      var options = CallOptions(timeout: .seconds(5))
      options.metadata.add("hello", for: "x-in")
      let reply = try await channel.unaryResponse(method("M"), Array("abc".utf8), options)
      #expect(text(reply.message) == "abc")
      #expect(reply.initialMetadata["x-seen"] == "hello")
      #expect(reply.trailingMetadata["x-trail"] == "t")
      #expect(reply.peer == "127.0.0.1:\(server.port)")
    }
  }

  @Test("request headers stand in the order of PROTOCOL-HTTP2.md, with what remains of the time")
  func headers() async throws {
    let seen = Locked<[String]>([])
    let timeout = Locked<String?>(nil)
    let server = try await ScriptedServer(
      .init(),
      ScriptedServer.whenEnded { stream in
        let names = stream.headers.map(\.name)
        let value = stream.headers["grpc-timeout"]
        seen.withLock { $0 = names }
        timeout.withLock { $0 = value }
        stream.respond(["agent": stream.headers["user-agent"] ?? ""])
        stream.send(Array((stream.headers[":authority"] ?? "").utf8))
        stream.finish(["grpc-status": "0"])
      })
    var channelOptions = ChannelOptions()
    channelOptions.authority = "own.authority"
    channelOptions.userAgentPrefix = "test/1"
    try await withChannel(to: server.target, options: channelOptions) { channel in
      var options = CallOptions(timeout: .seconds(60))
      options.metadata.add("1", for: "x-custom")
      let reply = try await channel.unaryResponse(method("M"), [], options)
      #expect(text(reply.message) == "own.authority")
      #expect(reply.initialMetadata["agent"] == "test/1 grpc-swift-trunkcall/0.1.0")
    }
    let names = seen.withLock { $0 }
    #expect(
      names == [
        ":method", ":scheme", ":path", ":authority", "te", "grpc-timeout", "content-type",
        "grpc-accept-encoding", "user-agent", "x-custom",
      ])
    let nanoseconds = timeout.withLock { $0 }.flatMap { value in
      Array(value.utf8).withUnsafeBytes { GRPCTimeout.parse($0) }
    }
    let left = try #require(nanoseconds)
    #expect(left > 30_000_000_000 && left < 60_000_000_000)
  }

  @Test("the endpoint's server name replaces the resolver's authority")
  func serverName() async throws {
    let server = try await ScriptedServer(
      .init(),
      ScriptedServer.whenEnded { stream in
        stream.respond()
        stream.send(Array((stream.headers[":authority"] ?? "").utf8))
        stream.finish(["grpc-status": "0"])
      })
    let address = Address("127.0.0.1", server.port)
    for (name, expected) in [("special", "special"), (nil, "manual.test")] as [(String?, String)] {
      let resolver = ManualResolver(Resolution([Endpoint([address], serverName: name)]))
      try await withChannel(to: "manual:///x", resolvers: [resolver]) { channel in
        let seen = try await channel.unary(method("M"), [])
        #expect(text(seen) == expected)
      }
    }
  }

  @Test(
    "what the server does wrong becomes the status that statuscodes.md names",
    arguments: [
      ("status", RPCError.Code.notFound), ("trailersOnly", .resourceExhausted),
      ("html", .unknown), ("http503", .unavailable), ("noTrailers", .unknown),
      ("cut", .internal), ("none", .unimplemented), ("two", .unimplemented),
      ("compressed", .internal), ("badFlag", .internal), ("tooLarge", .resourceExhausted),
      ("reset-cancel", .cancelled), ("reset-calm", .resourceExhausted),
      ("reset-internal", .internal),
      ("manyHeaders", .resourceExhausted),
    ])
  func faults(name: String, code: RPCError.Code) async throws {
    let server = try await ScriptedServer(.init(), ScriptedServer.whenEnded(misbehave))
    try await withChannel(to: server.target) { channel in
      var options = CallOptions(timeout: .seconds(10))
      options.maxReceiveMessageSize = 1000
      let error = await failure { _ = try await channel.unary(method(name), [1], options) }
      #expect(error?.code == code, "\(String(describing: error))")
      // The connection has not suffered.
      let fine = try await channel.unary(method("fine"), [], options)
      #expect(text(fine) == "fine")
    }
    #expect(await server.counts.accepted == 1)
  }

  @Test("metadata that HTTP/2 or gRPC forbids fails before anything is sent")
  func metadata() async throws {
    let server = try await ScriptedServer()
    try await withChannel(to: server.target) { channel in
      for (name, value) in [
        ("grpc-x", "1"), ("a b", "1"), ("x", "a\u{1}"), (":path", "/"), ("te", "x"),
      ] {
        let error = await failure {
          _ = try await channel.unary(method("M"), [], CallOptions(metadata: [name: value]))
        }
        #expect(error?.code == .internal)
        #expect(error?.message.contains(name) == true)
      }
      let large = CallOptions(metadata: ["x": String(repeating: "y", count: 70_000)])
      let error = await failure { _ = try await channel.unary(method("M"), [], large) }
      #expect(error?.code == .resourceExhausted)
    }
    #expect(await server.counts.calls == 0)
  }

  @Test("a message over the send limit fails with RESOURCE_EXHAUSTED, and nothing is sent")
  func sendLimit() async throws {
    let server = try await ScriptedServer()
    var options = ChannelOptions()
    options.maxSendMessageSize = 10
    try await withChannel(to: server.target, options: options) { channel in
      let error = await failure {
        _ = try await channel.unary(method("M"), [UInt8](repeating: 0, count: 11))
      }
      #expect(error?.code == .resourceExhausted)
      _ = try await channel.unary(method("M"), [UInt8](repeating: 0, count: 10))
    }
    #expect(await server.counts.calls == 1)
  }

  @Test("a call can be made from a loop of the channel, without a hop, and from tasks elsewhere")
  func onLoop() async throws {
    let server = try await ScriptedServer()
    let group = try EventLoopGroup(loops: 2)
    var options = ChannelOptions()
    options.group = group
    let channel = try GRPCChannel(to: server.target, options: options)
    try await channel.ready(within: .seconds(5))
    for loop in group.loops {
      let task = Task(executorPreference: loop.tasks) {
        var sum = 0
        for i in 0..<100 {
          sum += Int(try await channel.unary(method("M"), [UInt8(i)])[0])
        }
        return sum
      }
      #expect(try await task.value == 4950)
    }
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      for i in 0..<200 {
        tasks.addTask {
          let reply = try await channel.unary(method("M"), [UInt8(i)])
          #expect(reply == [UInt8(i)])
        }
      }
      try await tasks.waitForAll()
    }
    await channel.close()
    group.shutdown()
  }
}

/// Does what the method's name says.
private let misbehave: @Sendable (ScriptedStream) -> Void = { stream in
  switch stream.path.split(separator: "/").last {
  case "status":
    stream.respond()
    stream.finish(["grpc-status": "5"])
  case "trailersOnly":
    stream.answer([":status": "200", "content-type": "application/grpc", "grpc-status": "8"])
  case "html": stream.begin([":status": "200", "content-type": "text/html"])
  case "http503": stream.begin([":status": "503"])
  case "noTrailers":
    stream.respond()
    stream.send([1])
    stream.endWithoutTrailers()
  case "cut":
    stream.respond()
    stream.sendRaw([0, 0, 0, 0, 9, 1, 2])
    stream.finish(["grpc-status": "0"])
  case "none":
    stream.respond()
    stream.finish(["grpc-status": "0"])
  case "two":
    stream.respond()
    stream.send([1])
    stream.send([2])
    stream.finish(["grpc-status": "0"])
  case "compressed":
    stream.respond(["grpc-encoding": "gzip"])
    stream.sendRaw([1, 0, 0, 0, 1, 7])
    stream.finish(["grpc-status": "0"])
  case "badFlag":
    stream.respond()
    stream.sendRaw([2, 0, 0, 0, 1, 7])
  case "tooLarge":
    stream.respond()
    stream.sendRaw([0, 0xff, 0xff, 0xff, 0xff])
  case "reset-cancel": stream.reset(HTTP2ErrorCode.cancel)
  case "reset-calm": stream.reset(HTTP2ErrorCode.enhanceYourCalm)
  case "reset-internal": stream.reset(HTTP2ErrorCode.internalError)
  case "manyHeaders": stream.respond(["x": String(repeating: "y", count: 20_000)])
  default:
    stream.respond()
    stream.send(Array("fine".utf8))
    stream.finish(["grpc-status": "0"])
  }
}
