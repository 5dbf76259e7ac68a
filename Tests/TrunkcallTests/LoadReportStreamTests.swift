// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Logging
import Testing
import TrunkDiscovery
import TrunkHTTP2
import TrunkSockets
import TrunkTesting
import TrunkWire

@testable import Trunkcall

private let orca = "/xds.service.orca.v3.OpenRcaService/StreamCoreMetrics"

@Suite("Load reports out of band (gRFC A51)", .serialized, .timeLimit(.minutes(1)))
struct LoadReportStreamTests {
  /// Runs `body` with a channel whose policy asks for reports every 1.5 s.
  private func withReporting(
    log: LogLines = LogLines(level: .info), change: (inout ChannelOptions) -> Void = { _ in },
    _ body: (GRPCChannel, ScriptedPeerListener, Reporting.State) async throws -> Void
  ) async throws {
    let state = Reporting.State()
    Reporting.current.withLock { $0 = state }
    defer { Reporting.current.withLock { $0 = nil } }
    let listener = try await ScriptedPeerListener.listen()
    defer { listener.close() }
    var options = ChannelOptions()
    options.closeDeadline = .milliseconds(100)
    options.backoff.initial = .milliseconds(20)
    change(&options)
    var balancers = BalancerRegistry()
    balancers.register(Reporting.self)
    try await withChannel(
      to: "ipv4:127.0.0.1:\(listener.port)", balancers: balancers, balancer: "reporting",
      options: options, logger: log.logger
    ) { channel in
      channel.connect()
      try await body(channel, listener, state)
    }
  }

  private func report(_ cpu: Double) -> LoadReport {
    var report = LoadReport()
    report.cpuUtilization = cpu
    return report
  }

  private func begin(_ peer: ScriptedPeer, _ stream: Int32, _ cpu: Double) async throws {
    try await peer.send([
      .headers(stream, ScriptedPeer.responseHead()),
      .data(stream, ScriptedPeer.message(report(cpu).protobuf)),
    ])
  }

  @Test("the stream begins with the connection; its reports reach the observer, calls see nothing")
  func reports() async throws {
    try await withReporting { channel, listener, state in
      let peer = try await listener.accept()
      let request = try #require(try await peer.request())
      #expect(request.path == orca && request[":method"] == "POST")
      #expect(request["content-type"] == "application/grpc" && request["grpc-timeout"] == nil)
      // report_interval { seconds: 1 nanos: 500000000 }
      #expect(request.messages == [[0x0a, 8, 0x08, 1, 0x10, 0x80, 0xca, 0xb5, 0xee, 0x01]])
      try await begin(peer, request.stream, 0.5)
      try await peer.send(.data(request.stream, ScriptedPeer.message([0xff])))
      try await peer.send(.data(request.stream, ScriptedPeer.message(report(0.75).protobuf)))
      #expect(try await holds { state.reports.withLock { $0 } == [report(0.5), report(0.75)] })
      #expect(state.calls.withLock { $0 } == 0, "the stream is no call of the policy's")
      async let answer = channel.unary(method("M"), [1])
      let call = try #require(try await peer.request())
      try await peer.answer(call.stream, messages: [[2]])
      #expect(try await answer == [2])
      #expect(try await holds { state.calls.withLock { $0 } == 1 })
      await peer.close()
    }
  }

  @Test("UNIMPLEMENTED is logged and final for the connection; the next one is asked again")
  func unimplemented() async throws {
    let log = LogLines(level: .info)
    try await withReporting(log: log) { channel, listener, state in
      let peer = try await listener.accept()
      let first = try #require(try await peer.request())
      try await peer.send(
        .headers(first.stream, ScriptedPeer.trailersOnly("12"), endStream: true))
      #expect(try await holds { log.entries.contains { $0.level == .error } })
      #expect(
        log.entries.filter { $0.level == .error }.map(\.message)
          == ["a server has no load reports out of band"])
      // More than the back-off later, a call is the next request.
      try await Task.sleep(for: .milliseconds(100))
      async let answer = channel.unary(method("M"), [1])
      let call = try #require(try await peer.request())
      #expect(call.path.hasSuffix("/M"))
      try await peer.answer(call.stream, messages: [[2]])
      _ = try await answer
      await peer.close()
      let next = try await listener.accept()
      #expect(try await next.request()?.path == orca)
      await next.close()
    }
  }

  @Test(
    "a stream that ends is made again, after a back-off or, if it had brought a report, at once")
  func again() async throws {
    try await withReporting { channel, listener, state in
      let peer = try await listener.accept()
      let first = try #require(try await peer.request())
      try await peer.send(
        .headers(first.stream, ScriptedPeer.trailersOnly("14"), endStream: true))
      let second = try #require(try await peer.request())
      #expect(second.path == orca)
      try await begin(peer, second.stream, 0.5)
      try await peer.send(.reset(second.stream, HTTP2ErrorCode.cancel))
      let third = try #require(try await peer.request())
      #expect(third.path == orca && state.reports.withLock { $0 } == [report(0.5)])
      await peer.close()
    }
  }

  @Test("GOAWAY cancels the stream; the next connection has one of its own")
  func goAway() async throws {
    try await withReporting { channel, listener, state in
      let peer = try await listener.accept()
      let first = try #require(try await peer.request())
      try await begin(peer, first.stream, 0.5)
      try await peer.send(.goAway(lastStream: first.stream, code: 0))
      let end = try await peer.next { if case .reset = $0 { true } else { false } }
      #expect(end == .reset(first.stream, HTTP2ErrorCode.cancel))
      channel.connect()
      let next = try await listener.accept()
      #expect(try await next.request()?.path == orca)
      await peer.close()
      await next.close()
    }
  }

  @Test("another interval restarts the stream, none ends it; the connection stays")
  func interval() async throws {
    try await withReporting { channel, listener, state in
      let peer = try await listener.accept()
      let first = try #require(try await peer.request())
      try await begin(peer, first.stream, 0.5)
      #expect(try await holds { state.reports.withLock { $0.count } == 1 })
      for (interval, expected) in [
        (Duration.seconds(3), [0x0a, 2, 0x08, 3] as [UInt8]?), (nil, nil),
      ] {
        state.wish.withLock { $0 = interval }
        channel.connect()
        let end = try await peer.next { if case .reset = $0 { true } else { false } }
        if case .reset(_, let code)? = end { #expect(code == HTTP2ErrorCode.cancel) }
        guard let expected else { continue }
        #expect(try await peer.request()?.messages == [expected])
      }
      async let answer = channel.unary(method("M"), [1])
      let call = try #require(try await peer.request())
      try await peer.answer(call.stream, messages: [[2]])
      #expect(try await answer == [2])
      await peer.close()
    }
  }

  @Test("a stream does not keep the channel from being idle, nor from closing") func idle()
    async throws
  {
    try await withReporting(change: { $0.idleTimeout = .milliseconds(100) }) {
      channel, listener, state in
      let peer = try await listener.accept()
      let request = try #require(try await peer.request())
      try await begin(peer, request.stream, 0.5)
      #expect(try await holds { channel.state == .idle })
      let end = try await peer.next { if case .reset = $0 { true } else { false } }
      #expect(end == .reset(request.stream, HTTP2ErrorCode.cancel))
      channel.connect()
      let next = try await listener.accept()
      _ = try await next.request()
      let began = ContinuousClock.now
      await channel.close()
      #expect(ContinuousClock.now - began < .seconds(5))
      await next.close()
      await peer.close()
    }
  }

  @Test("credentials of the channel are sent with the stream") func credentials() async throws {
    try await withReporting(change: { $0.credentials = [Token()] }) { channel, listener, state in
      let peer = try await listener.accept()
      #expect(try await peer.request()?["authorization"] == "token")
      await peer.close()
    }
  }

  private struct Token: CallCredentials {
    var allowsPlaintext: Bool { true }
    func metadata(for call: CallCredentialsRequest) async throws -> Metadata {
      ["authorization": "token"]
    }
  }
}

/// One subchannel, with reports out of band.
private struct Reporting: Balancer {
  final class State: CallObserver {
    let reports = Locked<[LoadReport]>([])
    let calls = Locked(0)
    let wish = Locked<Duration?>(.milliseconds(1_500))
    func callBegan(at time: UInt64) { calls.withLock { $0 += 1 } }
    func callEnded(_ outcome: CallOutcome) {}
    func loadReported(_ report: LoadReport, at time: UInt64) {
      reports.withLock { $0.append(report) }
    }
  }
  static let current = Locked<State?>(nil)
  static let name = "reporting"
  static func parse(_ json: [UInt8]) throws(ServiceConfigError) {}

  private let state = current.withLock { $0 }
  private var id: SubchannelID?
  private var isReady = false
  init(_ config: Void) {}

  mutating func handle(_ event: BalancerEvent, _ actions: inout BalancerActions) {
    let wish = state?.wish.withLock { $0 }
    switch event {
    case .resolved(let resolution):
      guard id == nil, let first = resolution.endpoints.first else { return }
      let new = actions.open(
        first, SubchannelOptions(observer: state, loadReportInterval: wish))
      id = new
      actions.connect(new)
    case .subchannel(let id, let state, _):
      isReady = state == .ready
      if state == .idle { actions.connect(id) }
      actions.changed(state)
    case .exitIdle: if let id { actions.reportLoad(id, every: wish) }
    case .resolutionFailed, .completed, .timer: break
    }
  }
  mutating func makePicker() -> any Picker {
    guard isReady, let id else { return ConstantPicker(.wait) }
    return ConstantPicker(.use(id))
  }
}
