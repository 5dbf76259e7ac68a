// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Logging
import Testing
import TrunkSockets
import TrunkWire

@testable import Trunkcall

@Suite("What is logged of calls", .timeLimit(.minutes(2)))
struct CallLogTests {
  private struct OutOfPaper: Error { var tray = 3 }
  private struct PassOn: ServerInterceptor {
    nonisolated(nonsending) func intercept(
      _ call: ServerCall, _ requests: any MessageSource, _ responses: any MessageSink, _ next: Next
    ) async throws {
      try await next(call, requests, responses)
    }
  }
  private enum Way: String, CaseIterable { case loop, pool, intercepted, inProcess }

  private let service = AdHocService(
    unary: [
      "Break": { _, _ in throw OutOfPaper() },
      "Refuse": { _, _ in throw RPCError(.notFound, "no") },
      "Own": { _, _ in throw CancellationError() },
      "Echo": { payload, _ in payload },
    ],
    streams: [
      "BreakStream": { _, _, _ in throw OutOfPaper() },
      "Sleep": { _, replies, _ in
        try await replies.write([1])
        try await Task.sleep(for: .seconds(600))
      },
    ])

  /// Runs `body` with an invoker that leads to the service, and what the server logged.
  private func with(
    _ way: Way, level: Logger.Level = .info,
    _ body: (any CallInvoker, LogLines) async throws -> Void
  ) async throws {
    let log = LogLines(level: level)
    if way == .inProcess {
      return try await body(InProcessChannel([service], logger: log.logger), log)
    }
    var options = ServerOptions()
    options.dispatch = way == .pool ? .concurrent : .loop
    try await withServer(
      [service], options: options, interceptors: way == .intercepted ? [PassOn()] : [],
      logger: log.logger
    ) { _, port in
      try await withChannel(to: "ipv4:127.0.0.1:\(port)") { try await body($0, log) }
    }
  }

  @Test(
    "an error that is no status is logged once with method, peer and error, and no other is",
    arguments: Way.allCases)
  private func handlersErrors(_ way: Way) async throws {
    try await with(way) { channel, log in
      func errors() -> [LogLines.Entry] { log.entries.filter { $0.level >= .warning } }
      for name in ["Break", "Refuse", "Own", "Echo"] {
        _ = await failure { _ = try await channel.unary(AdHocService.method(name), [1]) }
      }
      let unary = errors()
      #expect(unary.map { $0.metadata["method"] } == ["/t.AdHoc/Break", "/t.AdHoc/Own"])
      #expect(unary.first?.level == .error)
      #expect(unary.first?.message == "a handler threw an error that is no status")
      #expect(unary.first?.metadata["error"] == "OutOfPaper: OutOfPaper(tray: 3)")
      #expect(
        unary.first?.metadata["peer"]?.hasPrefix(way == .inProcess ? "in-process" : "127.0.0.1:")
          == true)
      _ = await failure {
        let call = try await channel.bidirectional(AdHocService.method("BreakStream"))
        for try await _ in call.responses {}
      }
      #expect(errors().map { $0.metadata["method"] }.last == "/t.AdHoc/BreakStream")
      // A cancelled handler says so.
      let call = try await channel.bidirectional(AdHocService.method("Sleep"))
      for try await _ in call.responses { break }
      call.cancel()
      _ = try await channel.unary(AdHocService.method("Echo"), [1])
      #expect(errors().count == 3, "\(errors())")
    }
  }

  @Test(
    "ends of calls and connections are logged at debug level, with their status, if it is enabled")
  private func ends() async throws {
    for level in [Logger.Level.debug, .info] {
      let kept = Locked<LogLines?>(nil)
      try await with(.loop, level: level) { channel, log in
        kept.withLock { $0 = log }
        for name in ["Echo", "Refuse"] {
          _ = await failure { _ = try await channel.unary(AdHocService.method(name), [1]) }
        }
      }
      let entries = (kept.withLock { $0 }?.entries ?? []).filter { $0.level == .debug }
      guard level == .debug else {
        #expect(entries.isEmpty)
        continue
      }
      let calls = entries.filter { $0.message == "a call ended" }.map(\.metadata)
      #expect(calls.map { $0["method"] } == ["/t.AdHoc/Echo", "/t.AdHoc/Refuse"])
      #expect(calls.map { $0["status"] } == ["ok", "notFound"])
      #expect(entries.filter { $0.message == "a connection ended" }.count == 1)
    }
  }

  @Test("a channel logs the ends of its calls and connections, and its subchannels' states")
  func channelEnds() async throws {
    let log = LogLines(level: .debug)
    try await withServer([service]) { server, port in
      try await withChannel(to: "ipv4:127.0.0.1:\(port)", logger: log.logger) { channel in
        _ = try await channel.unary(AdHocService.method("Echo"), [1])
        // A connection that the channel closes itself is no news; one that ends is.
        server.shutDown()
        let isSaid = try await holds {
          log.entries.contains { $0.message == "a connection ended" }
        }
        #expect(isSaid)
      }
    }
    let calls = log.entries.filter { $0.message == "a call ended" }.map(\.metadata)
    #expect(calls.map { $0["status"] } == ["ok"])
    let states = log.entries.filter { $0.message == "a subchannel changed its state" }
    #expect(states.compactMap { $0.metadata["state"] }.starts(with: ["connecting", "ready"]))
  }

  private struct Silent: ServerInterceptor {
    nonisolated(nonsending) func intercept(
      _ call: ServerCall, _ requests: any MessageSource, _ responses: any MessageSink, _ next: Next
    ) async throws {
      if call.metadata["answers"] != nil {
        try await responses.send([0, 0, 0, 0, 0, 7])
      } else if call.metadata["passes"] != nil {
        try await next(call, requests, responses)
      }
    }
  }

  @Test(
    "an interceptor that neither calls next nor responds nor throws is named once for each method",
    arguments: ChannelKind.allCases)
  func silentInterceptors(_ kind: ChannelKind) async throws {
    let log = LogLines()
    let interceptors: [any ServerInterceptor] = [
      PassOn(), Silent().on(services: "t.AdHoc").on(services: "t.AdHoc"),
    ]
    func warnings() -> [LogLines.Entry] { log.entries.filter { $0.level == .warning } }
    func body(_ channel: any CallInvoker) async throws {
      for (name, count) in [("Echo", 1), ("Echo", 1), ("Refuse", 2)] {
        let error = await failure { _ = try await channel.unary(AdHocService.method(name), [1]) }
        #expect(error?.code == .unimplemented)
        #expect(warnings().count == count)
      }
      for fine in ["answers", "passes"] as [String] {
        let options = CallOptions(metadata: [fine: "1"])
        _ = try await channel.unary(AdHocService.method("Echo"), [7], options)
      }
      let missing = await failure { _ = try await channel.unary(AdHocService.method("None"), []) }
      #expect(missing?.code == .unimplemented)
      #expect(warnings().count == 2, "what a client can name without end is not logged")
      let entry = try #require(warnings().first)
      #expect(entry.message.contains("without calling next"))
      #expect(entry.metadata["interceptor"] == "Silent")
      #expect(entry.metadata["method"] == "/t.AdHoc/Echo")
    }
    switch kind {
    case .inProcess:
      try await body(
        InProcessChannel([service], serverInterceptors: interceptors, logger: log.logger))
    case .network:
      try await withServer([service], interceptors: interceptors, logger: log.logger) { _, port in
        try await withChannel(to: "ipv4:127.0.0.1:\(port)") { try await body($0) }
      }
    }
  }
}
