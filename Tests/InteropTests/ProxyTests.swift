// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Glibc
import InteropSupport
import Testing
import TrunkServices
import TrunkSockets
import TrunkWire
import Trunkcall

private struct Echo: RPCService {
  static let method = MethodDescriptor<[UInt8], [UInt8]>(
    service: "t.Echo", method: "Echo", request: .bytes, response: .bytes)
  func register(in table: inout MethodTable) { table.unary(Echo.method) { payload, _ in payload } }
}

@Suite("Through a proxy, and at servers that end connections early", .timeLimit(.minutes(3)))
struct ProxyTests {
  /// - Returns: the errors of `callers` times `calls` calls.
  private func call(_ channel: GRPCChannel, callers: Int, calls: Int, pause: Duration? = nil) async
    -> [RPCError]
  {
    await withTaskGroup(of: [RPCError].self) { group in
      for _ in 0..<callers {
        group.addTask {
          var errors: [RPCError] = []
          for _ in 0..<calls {
            do throws(RPCError) {
              _ = try await channel.unary(Echo.method, [1], CallOptions(timeout: .seconds(20)))
            } catch { errors.append(error) }
            if let pause { try? await Task.sleep(for: pause) }
          }
          return errors
        }
      }
      return await group.reduce(into: []) { $0 += $1 }
    }
  }

  private func withEcho(
    options: ServerOptions = ServerOptions(), _ body: (UInt16) async throws -> Void
  ) async throws -> ServerStatistics {
    let server = GRPCServer(on: .tcp("127.0.0.1", 0), services: [Echo()], options: options)
    let running = Task { try await server.run() }
    defer { running.cancel() }
    guard case .host(_, let port)? = try await server.listeningAddresses().first else {
      throw SocketError("listen", errno: EINVAL)
    }
    try await body(port)
    return server.statistics
  }

  @Test("nginx with its defaults: of 32 callers' 12,800 calls none fails")
  func nginx() async throws {
    _ = try await withEcho { port in
      let nginx = try await Proxy.nginx(to: port)
      defer { nginx.stop() }
      try await withChannel(to: "ipv4:127.0.0.1:\(nginx.port)") { channel in
        let errors = await call(channel, callers: 32, calls: 400)
        #expect(
          errors.isEmpty, "\(errors.count) failed, the first: \(errors.first?.description ?? "")")
      }
    }
  }

  @Test(
    "Envoy: of 1,000 calls at once, more than the server's limit, and of those that follow none fails",
    arguments: EnvoyCase.all)
  func envoy(_ row: EnvoyCase) async throws {
    _ = try await withEcho(options: row.options) { port in
      let envoy = try await Proxy.envoy(
        to: port, upstream: row.upstream, downstream: row.downstream)
      defer { envoy.stop() }
      try await withChannel(to: "ipv4:127.0.0.1:\(envoy.port)") { channel in
        // Envoy sends them all before it has seen the SETTINGS of its connection to the server.
        var errors = await call(channel, callers: 1_000, calls: 1)
        errors += await call(channel, callers: 20, calls: 20, pause: .milliseconds(20))
        #expect(
          errors.isEmpty, "\(errors.count) failed, the first: \(errors.first?.description ?? "")")
      }
    }
  }

  @Test("Envoy: all four shapes of a call, and what ends them")
  func envoyShapes() async throws {
    let load = LoadRecorder()
    let server = GRPCServer(
      on: .tcp("127.0.0.1", 0),
      services: [
        InteropTestService(load: load), LoadReportService(load, minimumInterval: .seconds(1)),
      ])
    let running = Task { try await server.run() }
    defer { running.cancel() }
    guard case .host(_, let port)? = try await server.listeningAddresses().first else { return }
    let envoy = try await Proxy.envoy(to: port)
    defer { envoy.stop() }
    let target = "ipv4:127.0.0.1:\(envoy.port)"
    let client = InteropClient {
      try GRPCChannel(to: target, balancers: $0.balancers, balancer: $0.balancer)
    }
    // Not those that last; and a thousand large requests at once are more than `maxWaitingBytes`.
    // Envoy allows 1,024 streams a connection, more than the case of connection scaling opens.
    for test in InteropCase.allCases
    where ![.rpcSoak, .channelSoak, .concurrentLargeUnary, .connectionScaling].contains(test) {
      await #expect(throws: Never.self, "\(test.rawValue)") { try await client.run(test) }
    }
  }

  @Test(
    "an idle limit of 200 ms and an age of 500 ms: no call fails, and no connection loop is tight",
    arguments: ["pick_first", "round_robin"])
  func shortLives(_ balancer: String) async throws {
    var options = ServerOptions()
    options.maxConnectionIdle = .milliseconds(200)
    options.maxConnectionAge = .milliseconds(500)
    let statistics = try await withEcho(options: options) { port in
      try await withChannel(to: "ipv4:127.0.0.1:\(port)", balancer: balancer) { channel in
        // Some callers call without a pause, one less often than the server's idle limit.
        async let rare = call(channel, callers: 1, calls: 6, pause: .milliseconds(350))
        let busy = await call(channel, callers: 4, calls: 100, pause: .milliseconds(10))
        #expect(busy.isEmpty, "\(busy.first?.description ?? "")")
        let errors = await rare
        #expect(errors.isEmpty, "\(errors.first?.description ?? "")")
      }
    }
    // About two seconds, in which each connection lives for 200 to 500 ms.
    let ended = statistics.events[.maxIdle, default: 0] + statistics.events[.maxAge, default: 0]
    #expect((3...30).contains(ended), "\(ended) connections")
  }
}

/// Ends of connections on either side of Envoy.
struct EnvoyCase: Sendable, CustomTestStringConvertible {
  var testDescription: String
  /// `common_http_protocol_options` of the connections to the server, and of those to the client.
  var upstream = "{}"
  var downstream = "{}"
  var options = ServerOptions()

  static let all = [
    EnvoyCase(testDescription: "its defaults"),
    EnvoyCase(
      testDescription: "a connection for each call",
      upstream: "{\"max_requests_per_connection\": 1}"),
    EnvoyCase(
      testDescription: "Envoy's connections are idle for 10 ms and 100 ms old at most",
      upstream: "{\"idle_timeout\": \"0.01s\", \"max_connection_duration\": \"0.1s\"}"),
    EnvoyCase(
      testDescription: "the client's connections end after 100 ms, with GOAWAY",
      downstream: "{\"max_connection_duration\": \"0.1s\"}"),
    EnvoyCase(testDescription: "the server's connections end after 200 ms", options: shortLived),
  ]

  private static let shortLived: ServerOptions = {
    var options = ServerOptions()
    options.maxConnectionIdle = .milliseconds(50)
    options.maxConnectionAge = .milliseconds(200)
    return options
  }()
}
