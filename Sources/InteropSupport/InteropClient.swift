// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import Trunkcall

/// The client of interop-test-descriptions.md: runs a case and throws on a deviation.
public struct InteropClient: Sendable {
  /// What a case wants of its channel.
  public struct Wishes: Sendable {
    /// Those of the library, and the case's own.
    public var balancers = BalancerRegistry()
    /// In use unless a service config names another.
    public var balancer = "pick_first"
    /// nil: whatever the caller has.
    public var serviceConfig: ServiceConfig?
  }

  /// Makes a channel to the server.
  public typealias Connect = @Sendable (_ wishes: Wishes) throws -> GRPCChannel
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
  func connect(_ wishes: Wishes = Wishes()) throws -> GRPCChannel { try make(wishes) }

  /// - Throws: ``InteropFailure``, or the `RPCError` of a call that should have succeeded.
  public func run(_ test: InteropCase) async throws {
    if test == .channelSoak { return try await channelSoak() }
    var wishes = Wishes()
    switch test {
    case .orcaPerRPC, .orcaOutOfBand:
      wishes.balancers.register(BackendMetricsPolicy.self)
      wishes.balancer = BackendMetricsPolicy.name
    case .connectionScaling:
      wishes.serviceConfig = ServiceConfig()
      wishes.serviceConfig?.maxConnectionsPerSubchannel = 2
    default: break
    }
    let channel = try connect(wishes)
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
    case .connectionScaling: try await caller.connectionScaling()
    case .rpcSoak: try await rpcSoak(caller)
    case .channelSoak: try await channelSoak()
    }
  }
}
