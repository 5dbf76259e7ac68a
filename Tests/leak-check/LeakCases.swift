// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Glibc
import Logging
import TrunkConsul
import TrunkSockets
import TrunkTesting
import Trunkcall

/// The objects that are made and dropped, each after some use.
struct LeakCases: Sendable {
  /// Outlives them all.
  private let port: UInt16
  private let agent: ScriptedConsulAgent

  /// Makes of each kind at once.
  private static let width = 10

  init() async throws {
    let server = GRPCServer(
      on: .tcp("127.0.0.1", 0), services: [PingService(Counted())], logger: LeakCases.quiet)
    Task { try await server.run() }
    guard case .host(_, let port)? = try await server.listeningAddresses().first else {
      fatalError("no port")
    }
    self.port = port
    agent = try await ScriptedConsulAgent.start { request in
      guard request.path.hasPrefix("/v1/health") else { return .answer(200, body: "{}") }
      // A poll comes back soon, as if the service had changed.
      if request.path.contains("index=") { try? await Task.sleep(for: .milliseconds(20)) }
      return .json(
        """
        [{"Node":{"Node":"n","Address":"127.0.0.1"},
          "Service":{"ID":"ping","Address":"127.0.0.1","Port":\(port)},"Checks":[]}]
        """, index: 7)
    }
  }

  func run(_ count: Int, _ kinds: [Kind]) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for index in 0..<count {
        if index >= LeakCases.width { try await group.next() }
        group.addTask { try await one(kinds[index % kinds.count], index) }
      }
      try await group.waitForAll()
    }
  }

  enum Kind: CaseIterable {
    case serverWithLoops, server, channel, channelWithLoops, registration, resolver, loops
    /// Those that sleep for no longer than a second, however long it may take the runtime to forget
    /// a `Task.sleep` that was cancelled: until its time.
    static let sleepless = [serverWithLoops, server, channel, channelWithLoops, loops]
  }

  private func one(_ kind: Kind, _ index: Int) async throws {
    switch kind {
    case .serverWithLoops: try await serve(loops: 1)
    case .server: try await serve(loops: nil)
    case .channel: try await channel(closes: index % 3 == 0, loops: nil)
    case .channelWithLoops: try await channel(closes: index % 3 == 0, loops: 1)
    case .registration: try await registration()
    case .resolver: try await resolver()
    case .loops: try await loopGroup()
    }
  }

  /// Serves one call and stops.
  private func serve(loops: Int?) async throws {
    var options = ServerOptions()
    options.loops = loops
    options.drain = .seconds(1)
    let server = GRPCServer(
      on: .tcp("127.0.0.1", 0), services: [PingService(Counted())], options: options,
      logger: LeakCases.quiet)
    let running = Task { try await server.run() }
    guard case .host(_, let port)? = try await server.listeningAddresses().first else { return }
    try await withChannel(to: "ipv4:127.0.0.1:\(port)") { channel in
      try await ping(channel)
    }
    server.shutDown()
    try await running.value
  }

  private func channel(closes: Bool, loops: Int?) async throws {
    var options = ChannelOptions()
    options.loops = loops
    let channel = try GRPCChannel(
      to: "ipv4:127.0.0.1:\(port)", options: options, logger: LeakCases.quiet)
    try await ping(channel)
    if closes { await channel.close() }
  }

  private func registration() async throws {
    let registration = ConsulRegistration(
      "ping", of: Advertised(port), agent: ConsulAgent(agent.address), check: .grpc(),
      logger: LeakCases.quiet)
    let running = Task { try? await registration.run() }
    try await Task.sleep(for: .milliseconds(20))
    // Not shut down in order, which waits for watchers.
    running.cancel()
    _ = await running.value
  }

  private func resolver() async throws {
    let consul = ConsulOptions(
      agent: ConsulAgent(agent.address), linger: .zero, logger: LeakCases.quiet)
    let channel = try GRPCChannel(
      to: "consul:///ping", resolvers: [.consul(consul)], logger: LeakCases.quiet)
    try await ping(channel)
    await channel.close()
    let dns = try GRPCChannel(to: "dns:///localhost:\(port)", logger: LeakCases.quiet)
    try await ping(dns)
    await dns.close()
  }

  private func loopGroup() async throws {
    let group = try EventLoopGroup(loops: 2)
    for loop in group.loops { await loop.perform {} }
    group.shutdown()
  }

  private func ping(_ channel: GRPCChannel) async throws {
    let options = CallOptions(timeout: .seconds(20), waitForReady: true)
    let answer = try await channel.unary(PingService.ping, [1], options)
    guard answer == [1] else { fatalError("not what was sent") }
  }

  private static let quiet = Logger(label: "quiet") { _ in SwiftLogNoOpLogHandler() }
}

/// Answers with what it is asked.
final class PingService: RPCService {
  static let ping = MethodDescriptor<[UInt8], [UInt8]>(
    service: "t.Ping", method: "Ping", request: .bytes, response: .bytes)
  private let counted: Counted
  init(_ counted: Counted) { self.counted = counted }

  func register(in table: inout MethodTable) {
    table.unary(PingService.ping) { [counted] payload, _ in
      counted.use()
      await Task.yield()
      return payload
    }
  }
}

/// A server that is only registered.
final class Advertised: AdvertisedServer {
  private let port: UInt16
  private let counted = Counted()
  init(_ port: UInt16) { self.port = port }
  func listeningAddresses() async throws -> [Address] { [.host("127.0.0.1", port)] }
  func setServing(_ name: String, _ serving: Bool) async {}
}
