// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import Trunkcall

/// The client of interop-test-descriptions.md: runs a case and throws on a deviation.
public struct InteropClient: Sendable {
  /// Makes a channel to the server with these policies, and that one unless a service config names
  /// another.
  public typealias Connect =
    @Sendable (_ balancers: BalancerRegistry, _ balancer: String) throws -> GRPCChannel
  private let make: Connect
  /// For every call; a case adds to them.
  let options: CallOptions
  let soak: SoakOptions
  /// Gets the soak cases' lines of figures.
  let report: @Sendable (String) -> Void

  /// - Parameter options: For every call. Without a `timeout`, 60 s.
  public init(
    options: CallOptions = CallOptions(), soak: SoakOptions = SoakOptions(),
    report: @escaping @Sendable (String) -> Void = { _ in },
    connect: @escaping Connect
  ) {
    make = connect
    var options = options
    // No case may hang.
    options.timeout = options.timeout ?? .seconds(60)
    self.options = options
    self.soak = soak
    self.report = report
  }

  /// A new channel to the server; a case closes what it opens.
  func connect(_ balancer: String = "pick_first") throws -> GRPCChannel {
    var balancers = BalancerRegistry()
    balancers.register(BackendMetricsPolicy.self)
    return try make(balancers, balancer)
  }

  /// - Throws: ``InteropFailure``, or the `RPCError` of a call that should have succeeded.
  public func run(_ test: InteropCase) async throws {
    if test == .channelSoak { return try await channelSoak() }
    let channel =
      switch test {
      case .orcaPerRPC, .orcaOutOfBand: try connect(BackendMetricsPolicy.name)
      default: try connect()
      }
    do {
      try await run(test, Caller(channel, options))
    } catch {
      await channel.close()
      throw error
    }
    await channel.close()
  }

  private func run(_ test: InteropCase, _ caller: Caller) async throws {
    switch test {
    case .emptyUnary: try await caller.emptyUnary()
    case .largeUnary: try await caller.largeUnary()
    case .clientCompressedUnary: try await caller.clientCompressedUnary(probes: true)
    case .clientCompressedUnaryNoProbe: try await caller.clientCompressedUnary(probes: false)
    case .serverCompressedUnary: try await caller.serverCompressedUnary()
    case .clientStreaming: try await caller.clientStreaming()
    case .clientCompressedStreaming: try await caller.clientCompressedStreaming(probes: true)
    case .clientCompressedStreamingNoProbe:
      try await caller.clientCompressedStreaming(probes: false)
    case .serverStreaming: try await caller.serverStreaming()
    case .serverCompressedStreaming: try await caller.serverCompressedStreaming()
    case .pingPong: try await caller.pingPong()
    case .emptyStream: try await caller.emptyStream()
    case .customMetadata: try await caller.customMetadata()
    case .statusCodeAndMessage: try await caller.statusCodeAndMessage()
    case .specialStatusMessage: try await caller.specialStatusMessage()
    case .unimplementedMethod: try await caller.unimplementedMethod()
    case .unimplementedService: try await caller.unimplementedService()
    case .cancelAfterBegin: try await caller.cancelAfterBegin()
    case .cancelAfterFirstResponse: try await caller.cancelAfterFirstResponse()
    case .timeoutOnSleepingServer: try await caller.timeoutOnSleepingServer()
    case .pickFirstUnary: try await caller.pickFirstUnary()
    case .concurrentLargeUnary: try await caller.concurrentLargeUnary()
    case .orcaPerRPC: try await caller.orcaPerRPC()
    case .orcaOutOfBand: try await caller.orcaOutOfBand()
    case .rpcSoak: try await rpcSoak(caller)
    case .channelSoak: try await channelSoak()
    }
  }
}
