// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Glibc
import Testing
import TrunkDiscovery
import TrunkHTTP2
import TrunkSockets
import TrunkTesting
import TrunkWire

@testable import Trunkcall

@Suite("Outcomes of picks whose call never left", .serialized, .timeLimit(.minutes(1)))
struct PickOutcomeTests {
  /// Runs `body` with a channel of one loop whose policy counts its picks and their outcomes.
  private func withCounting(
    _ settings: [ScriptedSetting] = [], _ change: (inout ChannelOptions) -> Void = { _ in },
    _ body: (GRPCChannel, Counting.State) async throws -> Void
  ) async throws {
    let state = Counting.State()
    Counting.current.withLock { $0 = state }
    defer { Counting.current.withLock { $0 = nil } }
    let listener = try await ScriptedPeerListener.listen()
    defer { listener.close() }
    let group = try EventLoopGroup(loops: 1)
    defer { group.shutdown() }
    var options = ChannelOptions()
    options.group = group
    options.closeDeadline = .milliseconds(100)
    change(&options)
    var balancers = BalancerRegistry()
    balancers.register(Counting.self)
    try await withChannel(
      to: "ipv4:127.0.0.1:\(listener.port)", balancers: balancers, balancer: "counting",
      options: options
    ) { channel in
      channel.connect()
      let peer = try await listener.accept(settings: settings)
      try await channel.ready(within: .seconds(10))
      try await body(channel, state)
      await peer.close()
    }
  }

  private func expect(_ state: Counting.State, _ code: RPCError.Code) async throws {
    #expect(
      try await holds { state.outcomes.withLock { $0.count } >= state.picks.withLock { $0 } },
      "\(state.picks.withLock { $0 }) picks, but \(state.outcomes.withLock { $0 })")
    let outcomes = state.outcomes.withLock { $0 }
    #expect(!outcomes.isEmpty && outcomes.count == state.picks.withLock { $0 })
    #expect(outcomes.allSatisfy { $0 == code }, "\(outcomes)")
  }

  @Test("a message over the limit")
  func message() async throws {
    try await withCounting([], { $0.maxSendMessageSize = 4 }) { channel, state in
      let error = await failure { _ = try await channel.unary(method("M"), [1, 2, 3, 4, 5]) }
      #expect(error?.code == .resourceExhausted)
      try await expect(state, .resourceExhausted)
    }
  }

  @Test("headers over the server's limit")
  func headers() async throws {
    try await withCounting([.maxHeaderListSize(1_000)]) { channel, state in
      let large = CallOptions(metadata: ["x": String(repeating: "y", count: 1_000)])
      let error = await failure { _ = try await channel.unary(method("M"), [1], large) }
      #expect(error?.code == .resourceExhausted)
      try await expect(state, .resourceExhausted)
    }
  }

  @Test("a connection with too many calls that wait for a stream")
  func streams() async throws {
    try await withCounting([.maxConcurrentStreams(0)], { $0.maxQueuedCalls = 1 }) {
      channel, state in
      let calls = (0..<3).map { _ in
        Task { await failure { _ = try await channel.unary(method("M"), [1]) } }
      }
      // One may wait for a stream.
      let areRefused = try await holds { state.outcomes.withLock { $0.count } == 2 }
      #expect(areRefused)
      #expect(state.outcomes.withLock { $0 } == [.resourceExhausted, .resourceExhausted])
      #expect(state.picks.withLock { $0 } == 3)
      for call in calls { call.cancel() }
      let codes = await calls.asyncMap { await $0.value?.code }
      #expect(codes.count { $0 == .resourceExhausted } == 2)
      #expect(codes.count { $0 == .cancelled } == 1)
    }
  }

  @Test("calls that wait for a stream of several connections (gRFC A105), and more than may wait")
  func queue() async throws {
    func change(_ options: inout ChannelOptions) {
      options.maxQueuedCalls = 2
      options.defaultServiceConfig = try? ServiceConfig(
        json: #"{"connectionScaling": {"maxConnectionsPerSubchannel": 2}}"#)
    }
    try await withCounting([.maxConcurrentStreams(0)], change) { channel, state in
      func expect(_ code: RPCError.Code) async throws {
        #expect(
          try await holds { state.outcomes.withLock { $0.last } == code },
          "\(state.outcomes.withLock { $0 })")
      }
      let cancelled = Task { await failure { _ = try await channel.unary(method("M"), [1]) } }
      #expect(try await holds { await channel.explain().waitingCalls == 1 })
      let expired = Task {
        await failure {
          _ = try await channel.unary(method("M"), [1], CallOptions(timeout: .seconds(1)))
        }
      }
      #expect(try await holds { await channel.explain().waitingCalls == 2 })
      let tooMany = await failure { _ = try await channel.unary(method("M"), [1]) }
      #expect(tooMany?.code == .resourceExhausted)
      try await expect(.resourceExhausted)
      cancelled.cancel()
      #expect(await cancelled.value?.code == .cancelled)
      try await expect(.cancelled)
      #expect(await expired.value?.code == .deadlineExceeded)
      try await expect(.deadlineExceeded)
      #expect(state.picks.withLock { $0 } == state.outcomes.withLock { $0.count })
    }
  }

  @Test("a call that was cancelled before it could wait for a stream of several connections")
  func cancelledBeforeQueue() async throws {
    func change(_ options: inout ChannelOptions) {
      options.defaultServiceConfig = try? ServiceConfig(
        json: #"{"connectionScaling": {"maxConnectionsPerSubchannel": 2}}"#)
    }
    try await withCounting([.maxConcurrentStreams(0)], change) { channel, state in
      let began = Gate()
      let caller = Task {
        await began.wait()
        return await failure { _ = try await channel.unary(method("M"), [1]) }
      }
      state.hook.withLock { $0 = { caller.cancel() } }
      began.open()
      #expect(await caller.value?.code == .cancelled)
      try await expect(state, .cancelled)
    }
  }

  @Test("a subchannel that has no connection")
  func notConnected() async throws {
    try await withCounting { channel, state in
      // The policy goes on to use a subchannel that is closed.
      state.isEager.withLock { $0 = true }
      channel.context.onControlLoop { controller in
        for connection in controller.openConnections { connection.value.fail("gone") }
      }
      #expect(try await holds { channel.state != .ready })
      let caller = Task {
        await failure {
          _ = try await channel.unary(method("M"), [1], CallOptions(timeout: .seconds(20)))
        }
      }
      #expect(try await holds { state.picks.withLock { $0 } >= 1 })
      caller.cancel()
      #expect(await caller.value?.code == .cancelled)
      try await expect(state, .unavailable)
    }
  }

  @Test("a call that was cancelled during its pick")
  func cancelled() async throws {
    try await withCounting { channel, state in
      let began = Gate()
      let caller = Task {
        await began.wait()
        return await failure { _ = try await channel.unary(method("M"), [1]) }
      }
      state.hook.withLock { $0 = { caller.cancel() } }
      began.open()
      #expect(await caller.value?.code == .cancelled)
      try await expect(state, .cancelled)
    }
  }

  @Test("a call whose deadline passed during its pick")
  func expired() async throws {
    try await withCounting { channel, state in
      state.hook.withLock { $0 = { usleep(250_000) } }
      // A machine that stands still may let it expire before its pick.
      for _ in 0..<10 where state.picks.withLock({ $0 }) == 0 {
        let error = await failure {
          _ = try await channel.unary(method("M"), [1], CallOptions(timeout: .milliseconds(200)))
        }
        #expect(error?.code == .deadlineExceeded)
      }
      try await expect(state, .deadlineExceeded)
    }
  }

  @Test("a pick that is passed over, as the server has an attempt of the call already")
  func passedOver() async throws {
    let config = try ServiceConfig(
      json: """
        {"methodConfig": [{"name": [{}], "hedgingPolicy": {
          "maxAttempts": 2, "hedgingDelay": "0.01s"}}]}
        """)
    try await withCounting([], { $0.defaultServiceConfig = config }) { channel, state in
      let caller = Task {
        await failure { _ = try await channel.unary(method("M"), [1]) }
      }
      // The second attempt's last pick is used, though it is of the same server.
      let isTriedAgain = try await holds { state.picks.withLock { $0 } > 2 }
      #expect(isTriedAgain)
      caller.cancel()
      #expect(await caller.value?.code == .cancelled)
      try await expect(state, .cancelled)
    }
  }

  @Test("a connection that is gone: the call is picked for again")
  func gone() async throws {
    try await withCounting { channel, state in
      state.hook.withLock {
        $0 = {
          // On the loop already, as the channel has no other one.
          channel.context.onControlLoop { controller in
            for connection in controller.openConnections { connection.value.fail("gone") }
          }
        }
      }
      let caller = Task {
        await failure {
          _ = try await channel.unary(method("M"), [1], CallOptions(timeout: .seconds(20)))
        }
      }
      let isReported = try await holds { state.outcomes.withLock { $0 } == [.unavailable] }
      #expect(isReported)
      caller.cancel()
      #expect(await caller.value?.code == .cancelled)
    }
  }
}

/// Uses one subchannel, and asks for every outcome.
private struct Counting: Balancer {
  final class State: Sendable {
    let picks = Locked(0)
    let outcomes = Locked<[RPCError.Code?]>([])
    /// Runs in the first pick.
    let hook = Locked<(@Sendable () -> Void)?>(nil)
    /// Whether it uses the subchannel in every state.
    let isEager = Locked(false)
  }
  static let current = Locked<State?>(nil)
  static let name = "counting"
  static func parse(_ json: [UInt8]) throws(ServiceConfigError) {}

  private let state = current.withLock { $0 }
  private var id: SubchannelID?
  private var isReady = false
  init(_ config: Void) {}

  mutating func handle(_ event: BalancerEvent, _ actions: inout BalancerActions) {
    switch event {
    case .resolved(let resolution):
      guard id == nil, let first = resolution.endpoints.first else { return }
      let new = actions.open(first)
      id = new
      actions.connect(new)
    case .subchannel(_, let state, _):
      isReady = state == .ready
      actions.changed(state)
    case .completed(let outcomes):
      state?.outcomes.withLock { $0 += outcomes.map(\.code) }
    case .resolutionFailed, .exitIdle, .timer: break
    }
  }
  mutating func makePicker() -> any Picker {
    let isEager = state?.isEager.withLock { $0 } == true
    return One(id: isReady || isEager ? id : nil, state: state)
  }

  struct One: Picker {
    let id: SubchannelID?
    let state: State?
    mutating func pick(_ call: borrowing PickContext) -> Pick {
      guard let id else { return .wait }
      state?.picks.withLock { $0 += 1 }
      let hook = state?.hook.withLock { hook in
        defer { hook = nil }
        return hook
      }
      hook?()
      return .use(id, token: 7)
    }
  }
}
