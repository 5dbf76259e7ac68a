// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Logging
import Testing
import TrunkSockets
import TrunkWire

@testable import Trunkcall

@Suite("Interceptors, over a network and within the process", .timeLimit(.minutes(1)))
struct InterceptorTests {
  private final class Seen: Sendable {
    private let all = Locked<[String]>([])
    var lines: [String] { all.withLock { $0 } }
    func note(_ line: String) { all.withLock { $0.append(line) } }
  }

  /// Notes paths, and how the calls end.
  private struct Log: ClientInterceptor, ServerInterceptor {
    let name: String
    let seen: Seen
    init(_ name: String, _ seen: Seen) {
      self.name = name
      self.seen = seen
    }
    func intercept(
      _ call: CallRequest, _ next: ClientInterceptor.Next
    ) async throws(RPCError) -> any ClientStream {
      seen.note("\(name) \(call.method)")
      return try await next(call)
    }
    func intercept(
      _ call: ServerCall, _ requests: any MessageSource, _ responses: any MessageSink,
      _ next: ServerInterceptor.Next
    ) async throws {
      do { try await next(call, requests, responses) } catch {
        seen.note("\(name) \(call.path) \((error as? RPCError)?.code ?? .unknown)")
        throw error
      }
      seen.note("\(name) \(call.path) OK")
    }
  }

  /// Puts a pair more into the request's metadata, on either side.
  private struct Tag: ClientInterceptor, ServerInterceptor {
    let value: String
    func intercept(
      _ call: CallRequest, _ next: ClientInterceptor.Next
    ) async throws(RPCError) -> any ClientStream {
      var call = call
      call.options.metadata.add(value, for: "x-tag")
      return try await next(call)
    }
    func intercept(
      _ call: ServerCall, _ requests: any MessageSource, _ responses: any MessageSink,
      _ next: ServerInterceptor.Next
    ) async throws {
      var metadata = call.metadata
      metadata.add(value, for: "x-tag")
      try await next(call.with(metadata: metadata), requests, responses)
    }
  }

  private static let service = AdHocService(
    unary: [
      "Tags": { _, call in
        try call.addTrailingMetadata(["x-by": "handler"])
        return Array(call.metadata[all: "x-tag"].joined(separator: ",").utf8)
      },
      "Echo": { payload, _ in payload },
      "Sleep": { _, _ in
        try await Task.sleep(for: .seconds(60))
        return []
      },
    ],
    streams: [
      "TagStream": { _, responses, call in
        try await responses.write(Array(call.metadata[all: "x-tag"].joined(separator: ",").utf8))
      }
    ])

  private func with(
    _ kind: ChannelKind, _ client: [any ClientInterceptor] = [],
    _ server: [any ServerInterceptor] = [], _ body: (any CallInvoker) async throws -> Void
  ) async throws {
    switch kind {
    case .inProcess:
      try await body(
        InProcessChannel(
          [InterceptorTests.service], interceptors: client, serverInterceptors: server))
    case .network:
      try await withServer([InterceptorTests.service], interceptors: server) { _, port in
        try await withChannel(to: "ipv4:127.0.0.1:\(port)", interceptors: client) {
          try await body($0)
        }
      }
    }
  }
  private func method(_ name: String) -> MethodDescriptor<[UInt8], [UInt8]> {
    AdHocService.method(name)
  }

  @Test(
    "the handler gets the request's metadata as interceptors of both sides have changed it",
    arguments: ChannelKind.allCases)
  func changed(_ kind: ChannelKind) async throws {
    let server: [any ServerInterceptor] = [Tag(value: "3"), Tag(value: "4")]
    try await with(kind, [Tag(value: "1"), Tag(value: "2")], server) { invoker in
      let options = CallOptions(metadata: ["x-tag": "0"])
      let unary = try await invoker.unaryResponse(method("Tags"), [], options)
      #expect(String(decoding: unary.message, as: UTF8.self) == "0,1,2,3,4")
      #expect(unary.trailingMetadata["x-by"] == "handler", "it answers the same call")
      let stream = try await invoker.bidirectional(method("TagStream"), options)
      try await stream.requests.finish()
      let first = try await stream.responses.next()
      #expect(first.map { String(decoding: $0, as: UTF8.self) } == "0,1,2,3,4")
    }
  }

  @Test(
    "one with a scope stands around the calls of its services and methods alone",
    arguments: ChannelKind.allCases)
  func scopes(_ kind: ChannelKind) async throws {
    let seen = Seen()
    let log = { Log($0, seen) }
    let client: [any ClientInterceptor] = [
      log("c1").on(services: "t.AdHoc", "t.Other"), log("c2").on(services: "t.Ad"),
      log("c3").on(methods: "/t.AdHoc/Echo"), log("c4").on(methods: method("Tags").path),
    ]
    let server: [any ServerInterceptor] = [
      log("s1").on(methods: "/t.AdHoc/Echo"), log("s2").on(services: "t.Other"),
    ]
    try await with(kind, client, server) { invoker in
      _ = try await invoker.unary(method("Echo"), [1])
      #expect(
        Set(seen.lines) == ["c1 /t.AdHoc/Echo", "c3 /t.AdHoc/Echo", "s1 /t.AdHoc/Echo OK"])
      _ = try await invoker.unary(method("Tags"), [1])
      #expect(seen.lines.suffix(2) == ["c1 /t.AdHoc/Tags", "c4 /t.AdHoc/Tags"])
      #expect(seen.lines.count == 5)
    }
  }

  @Test("calls that no interceptor applies to go the way of a channel without any")
  func free() async throws {
    struct Elsewhere: ClientInterceptor {
      func applies(to method: MethodName) -> Bool { method.service == "t.Other" }
      func intercept(
        _ call: CallRequest, _ next: Next
      ) async throws(RPCError) -> any ClientStream {
        Issue.record("it does not apply to \(call.method)")
        return try await next(call)
      }
    }
    let all: [any ClientInterceptor] = [Elsewhere()]
    #expect(!all.apply(to: method("Echo").path))
    #expect(all.apply(to: "/t.Other/X"))
    let scoped: [any ServerInterceptor] = [Log("s", Seen()).on(services: "t.Other")]
    let index = MethodIndex([InterceptorTests.service], scoped, dispatch: { _ in .loop })
    #expect(index.methods.allSatisfy { $0.interceptors.isEmpty })
    try await with(.inProcess, all) { _ = try await $0.unary(method("Echo"), []) }
  }

  @Test("one whose scope holds none of the server's methods is named in an error, others are not")
  func idle() async throws {
    let lines = LogLines()
    let log = Log("s", Seen())
    let scoped: [any ServerInterceptor] = [
      log, log.on(services: "t.AdHoc"), log.on(methods: method("Echo").path),
      log.on(services: "t.Typo"), log.on(services: "t.Other", "t.AdHoc"),
      Tag(value: "1").on(methods: "/t.AdHoc/Typo"),
    ]
    try await withServer(
      [InterceptorTests.service], interceptors: scoped, logger: lines.logger
    ) { _, _ in }
    let said = lines.entries.filter { $0.message.contains("applies to none of the methods") }
    #expect(said.map(\.level) == [.error, .error])
    #expect(
      said.map { $0.metadata["interceptor"] } == [
        "InterceptorScope<Log>", "InterceptorScope<Tag>",
      ])
    #expect(said.allSatisfy { $0.metadata["services"] == "t.AdHoc" })
  }

  @Test(
    "a server's interceptors see calls of methods that it does not have",
    arguments: ChannelKind.allCases)
  func unknown(_ kind: ChannelKind) async throws {
    let seen = Seen()
    let log = { Log($0, seen) }
    let server: [any ServerInterceptor] = [
      log("all"), log("here").on(services: "t.AdHoc"), log("there").on(services: "t.Other"),
    ]
    try await with(kind, [], server) { invoker in
      let error = await failure { _ = try await invoker.unary(method("Nope"), []) }
      #expect(error?.code == .unimplemented)
      #expect(error?.message == "unknown method /t.AdHoc/Nope")
      #expect(
        seen.lines == ["here /t.AdHoc/Nope unimplemented", "all /t.AdHoc/Nope unimplemented"])
    }
  }

  @Test("they do not see a path that was too long to keep: what is left of it is another one")
  func cut() async throws {
    let seen = Seen()
    try await with(.network, [], [Log("all", seen)]) { invoker in
      let long = String(repeating: "x", count: 2_000)
      let error = await failure { _ = try await invoker.unary(method(long), []) }
      #expect(error?.code == .unimplemented)
      #expect(seen.lines.isEmpty)
    }
  }

  @Test("one that answers an unknown method itself is heard", arguments: ChannelKind.allCases)
  func fallback(_ kind: ChannelKind) async throws {
    struct Fallback: ServerInterceptor {
      func intercept(
        _ call: ServerCall, _ requests: any MessageSource, _ responses: any MessageSink,
        _ next: Next
      ) async throws {
        guard call.path == "/t.AdHoc/Nope" else { return try await next(call, requests, responses) }
        let payload = try await requests.next() ?? []
        try await responses.send([0, 0, 0, 0, 0] + payload.reversed())
      }
    }
    try await with(kind, [], [Fallback()]) { invoker in
      let answered = try await invoker.unary(method("Nope"), [1, 2, 3])
      #expect(answered == [3, 2, 1])
      let echo = try await invoker.unary(method("Echo"), [1, 2, 3])
      #expect(echo == [1, 2, 3])
    }
  }

  @Test(
    "a handler cancelled by the deadline ends as DEADLINE_EXCEEDED for them",
    arguments: ChannelKind.allCases)
  func expired(_ kind: ChannelKind) async throws {
    struct Watch: ServerInterceptor {
      let ends: AsyncStream<(RPCError.Code?, Bool, Bool)>.Continuation
      func intercept(
        _ call: ServerCall, _ requests: any MessageSource, _ responses: any MessageSink,
        _ next: Next
      ) async throws {
        do { try await next(call, requests, responses) } catch {
          let isPast = call.deadline.map { $0 < .now } ?? false
          ends.yield(((error as? RPCError)?.code, call.hasExpired, isPast))
          throw error
        }
      }
    }
    let (ends, continuation) = AsyncStream<(RPCError.Code?, Bool, Bool)>.makeStream()
    try await with(kind, [], [Watch(ends: continuation)]) { invoker in
      let options = CallOptions(timeout: .milliseconds(50))
      let error = await failure { _ = try await invoker.unary(method("Sleep"), [], options) }
      #expect(error?.code == .deadlineExceeded)
      var seen = ends.makeAsyncIterator()
      let end = await seen.next()
      #expect(end?.0 == .deadlineExceeded)
      #expect(end?.1 == true)
      #expect(end?.2 == true, "the deadline stays where it was")
    }
  }
}
