// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Glibc
import Logging
import Testing
import TrunkDiscovery
import TrunkSockets

@testable import Trunkcall

#if ServiceLifecycle
  import ServiceLifecycle
#endif

@Suite("Making and running a channel", .timeLimit(.minutes(1)))
struct ChannelMakingTests {
  @Test("a policy that nobody knows is refused at once, with the nearest name")
  func unknownBalancer() throws {
    let error = #expect(throws: TargetError.self) {
      _ = try GRPCChannel(to: "dns:///orders", balancer: "round_robbin")
    }
    #expect(error?.kind == .badBalancer)
    #expect(
      error?.description == """
        target "dns:///orders": balancer: unknown policy "round_robbin", did you mean round_robin?; \
        allowed: \(BalancerRegistry().names.joined(separator: ", "))
        """)
    var options = ChannelOptions()
    options.defaultServiceConfig = try ServiceConfig(
      json: #"{"loadBalancingConfig": [{"round_robbin": {}}]}"#)
    let inConfig = #expect(throws: TargetError.self) {
      _ = try GRPCChannel(to: "dns:///orders", options: options)
    }
    #expect(
      inConfig?.reason.hasPrefix(
        "loadBalancingConfig of the default service config: unknown policy \"round_robbin\", did")
        == true)
  }

  @Test("where no call may wait, calls that need not wait are made") func noQueue() async throws {
    try await withServer([AdHocService(unary: ["Echo": { payload, _ in payload }])]) { _, port in
      var options = ChannelOptions()
      options.maxQueuedCalls = 0
      let channel = try GRPCChannel(to: "ipv4:127.0.0.1:\(port)", options: options)
      try await channel.ready(within: .seconds(10))
      let echo = try await channel.unary(AdHocService.method("Echo"), [1])
      #expect(echo == [1])
      await channel.close()
    }
  }

  @Test("a channel runs until it is told to stop, and is closed then")
  func running() async throws {
    try await withServer([AdHocService(unary: ["Echo": { payload, _ in payload }])]) { _, port in
      let channel = try GRPCChannel(to: "ipv4:127.0.0.1:\(port)")
      let run = Task { try await channel.run() }
      let echo = try await channel.unary(AdHocService.method("Echo"), [1])
      #expect(echo == [1])
      channel.shutDown()
      try await run.value
      #expect(channel.state == .shutdown)

      let cancelled = try GRPCChannel(to: "ipv4:127.0.0.1:\(port)")
      let task = Task { try await cancelled.run() }
      task.cancel()
      try await task.value
      #expect(try await holds { cancelled.state == .shutdown })
    }
  }

  #if ServiceLifecycle
    @Test("a service group's graceful shutdown closes it")
    func group() async throws {
      let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
      let channel = try GRPCChannel(to: "ipv4:127.0.0.1:1")
      let group = ServiceGroup(services: [channel], logger: logger)
      let run = Task { try await group.run() }
      await group.triggerGracefulShutdown()
      try await run.value
      #expect(channel.state == .shutdown)
    }
  #endif

  @Test(
    "what a peer speaks instead of HTTP/2 is known by its first bytes",
    arguments: [
      ([0x16, 3, 1, 2, 0, 1], .tls), ([0x15, 3, 3, 0, 2, 2, 70], .tls), ([0x16, 9, 1], nil),
      (Array("HTTP/1.1 400 Bad Request\r\n".utf8), .http1),
      (Array("GET /x HTTP/1.1\r\nHost: y\r\n\r\n".utf8), .http1),
      (Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8), nil), ([0, 0, 18, 4, 0, 0, 0, 0, 0], nil),
      ([0x16], nil), ([], nil), (Array("SSH-2.0-OpenSSH\r\n".utf8), nil),
    ] as [([UInt8], ForeignProtocol?)])
  func foreign(_ bytes: [UInt8], _ expected: ForeignProtocol?) {
    #expect(bytes.withUnsafeBytes { ForeignProtocol($0) } == expected)
  }

  @Test(
    "a plaintext server says once that a client speaks TLS or HTTP/1.1",
    arguments: [
      ([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3] + [UInt8](repeating: 0, count: 64), "speaks TLS"),
      (Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8), "speaks HTTP/1.1"),
    ] as [([UInt8], String)])
  func saysSo(_ bytes: [UInt8], _ what: String) async throws {
    let lines = LogDetails()
    let server = GRPCServer(
      on: .tcp("127.0.0.1", 0), services: [AdHocService()], logger: lines.logger)
    let running = Task { try await server.run() }
    defer { running.cancel() }
    guard case .host(_, let port)? = try await server.listeningAddresses().first else { return }
    for number in 1...3 {
      let client = try await ByteStream.connect(
        to: .host("127.0.0.1", port), on: EventLoopGroup.shared.next(), timeout: .seconds(5))
      try await client.write(bytes)
      #expect(try await holds { server.statistics.handshakesFailed == number })
      client.close()
    }
    let said = lines.lines.filter { $0.contains("handshake failed") }
    #expect(said.first?.contains(what) == true, "\(lines.lines)")
    // One second at most has passed, or a slow machine is excused.
    #expect(said.count <= 2)
  }

  @Test("a connection that ends without a byte, as a TCP health check's, is counted, not announced")
  func silentPeer() async throws {
    let lines = LogDetails()
    let server = GRPCServer(
      on: .tcp("127.0.0.1", 0), services: [AdHocService()], logger: lines.logger)
    let running = Task { try await server.run() }
    defer { running.cancel() }
    guard case .host(_, let port)? = try await server.listeningAddresses().first else { return }
    let client = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    let connected = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(client, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    #expect(connected == 0)
    #expect(try await holds { server.statistics.connections == 1 })
    // Closed by a reset, as an agent's check does.
    var linger = linger(l_onoff: 1, l_linger: 0)
    setsockopt(
      client, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout.size(ofValue: linger)))
    close(client)
    #expect(try await holds { server.statistics.handshakesFailed == 1 })
    #expect(!lines.lines.contains { $0.contains("handshake failed") }, "\(lines.lines)")
  }
}

/// As ``LogLines``, with the lines' metadata.
private final class LogDetails: Sendable {
  private let all = Locked<[String]>([])
  var lines: [String] { all.withLock { $0 } }
  var logger: Logger { Logger(label: "test") { _ in Handler(lines: self) } }

  private struct Handler: LogHandler {
    let lines: LogDetails
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.info

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }
    func log(event: LogEvent) {
      lines.all.withLock { $0.append("\(event.message) \(event.metadata ?? [:])") }
    }
  }
}
