// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import FoundationEssentials
import InteropStubs
import InteropSupport
import ProcessSupport
import SwiftProtobuf
import TestCertificates
import Testing
import TrunkServices
import Trunkcall

/// The cases that grpcio has, as its script calls them.
private let officialCases = InteropCase.allCases.filter {
  !$0.rawValue.hasSuffix("_noprobe") && !$0.rawValue.hasPrefix("orca_") && $0 != .connectionScaling
}

/// What the two sides speak: plaintext, or TLS with certificates on both sides.
enum Wire: String, CaseIterable, Sendable, CustomTestStringConvertible {
  case plaintext
  #if TLS
    case mutualTLS
  #endif

  var testDescription: String { rawValue }

  func server() async throws -> ServerSecurity {
    switch self {
    case .plaintext: return .plaintext
    #if TLS
      case .mutualTLS:
        let certificates = try await TestCertificates.make()
        return .tls(
          ServerTLS(
            .files(
              certificates: certificates.file("server.pem"),
              privateKey: certificates.file("server.key")),
            clientCertificates: .required(.file(certificates.file("ca.pem")))))
    #endif
    }
  }

  func client() async throws -> ChannelSecurity {
    switch self {
    case .plaintext: return .plaintext
    #if TLS
      case .mutualTLS:
        let certificates = try await TestCertificates.make()
        return .tls(
          ClientTLS(
            trust: .file(certificates.file("ca.pem")),
            identity: .files(
              certificates: certificates.file("client.pem"),
              privateKey: certificates.file("client.key")), serverName: "foo.test.google.fr"))
    #endif
    }
  }

  /// For grpcio's script.
  func environment() async throws -> [String: String] {
    switch self {
    case .plaintext: return [:]
    #if TLS
      case .mutualTLS: return ["INTEROP_TLS": try await TestCertificates.make().folder]
    #endif
    }
  }

  /// For our programs: the server's, then the client's.
  func flags() async throws -> (server: [String], client: [String]) {
    switch self {
    case .plaintext: return ([], ["--use_tls=false"])
    #if TLS
      case .mutualTLS:
        let certificates = try await TestCertificates.make()
        return (
          [
            "--use_tls=true", "--tls_cert_file", certificates.file("server.pem"),
            "--tls_key_file=\(certificates.file("server.key"))",
            "--tls_client_ca_file=\(certificates.file("ca.pem"))",
          ],
          [
            "--use_tls=true", "--use_test_ca=true", "--ca_file", certificates.file("ca.pem"),
            "--server_host_override=foo.test.google.fr",
            "--tls_cert_file=\(certificates.file("client.pem"))",
            "--tls_key_file=\(certificates.file("client.key"))",
          ]
        )
    #endif
    }
  }
}

@Suite("gRPC's interop cases (GRPC 5.1)", .timeLimit(.minutes(5)))
struct OfficialCasesTests {
  private func withInteropServer(
    _ wire: Wire, _ body: (UInt16) async throws -> Void
  ) async throws {
    let load = LoadRecorder()
    let server = GRPCServer(
      on: .tcp("127.0.0.1", 0),
      services: [
        InteropTestService(load: load), LoadReportService(load, minimumInterval: .seconds(1)),
      ], security: try await wire.server())
    async let running: Void = server.run()
    guard case .host(_, let port)? = try await server.listeningAddresses().first else { return }
    do { try await body(port) } catch {
      server.shutDown()
      throw error
    }
    server.shutDown()
    try await running
  }

  private func client(
    _ port: some CustomStringConvertible, _ wire: Wire, soak: SoakOptions = SoakOptions()
  ) async throws -> InteropClient {
    let security = try await wire.client()
    let target = "ipv4:127.0.0.1:\(port)"
    // Other tests share the machine: a slow iteration is no failure here.
    var soak = soak
    soak.maxLatency = .seconds(30)
    return InteropClient(soak: soak) { wishes in
      var options = ChannelOptions()
      options.defaultServiceConfig = wishes.serviceConfig
      return try GRPCChannel(
        to: target, balancers: wishes.balancers, balancer: wishes.balancer, security: security,
        options: options)
    }
  }

  @Test("our client against our server", arguments: InteropCase.allCases, Wire.allCases)
  func own(_ test: InteropCase, _ wire: Wire) async throws {
    try await withInteropServer(wire) { port in
      let client = try await client(port, wire)
      await #expect(throws: Never.self) { try await client.run(test) }
    }
  }

  @Test(
    "our programs: every case passes, each says so, both exit with 0", arguments: Wire.allCases)
  func programs(_ wire: Wire) async throws {
    let flags = try await wire.flags()
    let server = try ChildProcess(
      ChildProcess.built("interop-server"), ["--port=0"] + flags.server)
    let line = try #require(
      try await server.line(containing: "listening on 127.0.0.1:", within: .seconds(30)),
      "\(server.text)")
    let port = try #require(line.split(separator: ":").last)
    let client = try ChildProcess(
      ChildProcess.built("interop-client"),
      [
        "--server_host=127.0.0.1", "--server_port", "\(port)", "--test_case=all",
        "--soak_per_iteration_max_acceptable_latency_ms=30000",
        "--additional_metadata=x-a:1;x-b:a\\:b", "--service_config_json",
        #"{"loadBalancingConfig":[{"round_robin":{}}]}"#,
      ] + flags.client)
    #expect(try await client.exit(within: .seconds(180)) == 0, "\(client.text)")
    let passed = client.lines.filter { $0.hasPrefix("PASS ") }.map { $0.dropFirst(5) }
    #expect(Set(passed) == Set(InteropCase.allCases.map { $0.rawValue[...] }), "\(client.text)")
    server.signal(15)
    #expect(try await server.exit(within: .seconds(30)) == 0, "\(server.text)")
  }

  @Test("our program says FAIL and why, and exits with 1, when nobody is there")
  func programFails() async throws {
    let port = try #require(try await freePorts(1).first)
    let client = try ChildProcess(
      ChildProcess.built("interop-client"),
      ["--server_host=127.0.0.1", "--server_port=\(port)", "--test_case=empty_unary"])
    #expect(try await client.exit(within: .seconds(60)) == 1)
    #expect(client.lines.contains { $0.hasPrefix("FAIL empty_unary: ") }, "\(client.text)")
  }

  @Test(
    "our client against grpcio's server: all but the probes, which grpcio cannot answer",
    arguments: Wire.allCases)
  func foreignServer(_ wire: Wire) async throws {
    let (ports, peer) = try await grpcioServer(wire)
    let limited = ports[1]
    for test in InteropCase.allCases {
      do {
        let port = test == .connectionScaling ? ports[2] : ports[0]
        try await client(port, wire).run(test)
        #expect(
          test != .clientCompressedUnary && test != .clientCompressedStreaming,
          "grpcio sees the compressed flag now: strike it out of docs/conformance-interop.md")
      } catch let failure as InteropFailure {
        let isProbe =
          (test == .clientCompressedUnary || test == .clientCompressedStreaming)
          && failure.description.hasPrefix("the probe")
        #expect(isProbe, "\(test.rawValue): \(failure)")
      } catch {
        Issue.record("\(test.rawValue): \(error)")
      }
    }
    // What grpcio cannot see shows in how it refuses it: what our client says is compressed, is.
    try await withChannel(
      to: "ipv4:127.0.0.1:\(limited)", security: try await wire.client()
    ) { channel in
      let service = Grpc_Testing_TestService.Client(channel)
      for (compression, text) in [
        (Compression.gzip, "Decompressed message"), (.deflate, "Decompressed message"),
        (.identity, "Received message"),
      ] {
        var options = CallOptions(timeout: .seconds(60))
        options.compression = compression
        let request = Grpc_Testing_SimpleRequest.with { $0.payload.body = Data(count: 100_000) }
        do throws(RPCError) {
          _ = try await service.unaryCall(request, options: options)
          Issue.record("\(compression): over the limit, and OK")
        } catch {
          #expect(error.code == .resourceExhausted && error.message.contains(text), "\(error)")
        }
      }
    }
    _ = peer
  }

  /// - Returns: three ports: of a server without limits, of one with a limit for messages, of one with two
  ///   streams a connection.
  private func grpcioServer(_ wire: Wire) async throws -> ([Substring], ChildProcess) {
    let peer = try Grpcio.start(
      "server", script: "interop.py", environment: try await wire.environment())
    let line = try #require(
      try await peer.line(containing: "listening ", within: .seconds(60)), "\(peer.text)")
    let ports = Array(line.split(separator: " ").dropFirst())
    try #require(ports.count == 3)
    return (ports, peer)
  }

  private struct Result: Decodable {
    var `case`: String
    var ok: Bool
    var why: String
  }

  @Test("grpcio's client against our server", arguments: Wire.allCases)
  func foreignClient(_ wire: Wire) async throws {
    try await withInteropServer(wire) { port in
      let peer = try Grpcio.start(
        "client", "127.0.0.1:\(port)", script: "interop.py",
        environment: try await wire.environment())
      #expect(try await peer.exit(within: .seconds(180)) == 0, "\(peer.text)")
      var seen: Set<String> = []
      for line in peer.lines where line.hasPrefix("{") {
        let result = try JSONDecoder().decode(Result.self, from: Data(line.utf8))
        seen.insert(result.case)
        #expect(result.ok, "\(result.case): \(result.why)")
      }
      #expect(seen == Set(officialCases.map(\.rawValue)), "\(peer.text)")
    }
  }

  @Test(
    "C-core's weighted_round_robin follows our servers' load reports, with calls and out of band",
    arguments: [false, true])
  func foreignWeights(outOfBand: Bool) async throws {
    var servers: [GRPCServer] = []
    for (name, cpu) in [("A", 0.2), ("B", 0.6)] {
      let load = LoadRecorder()
      try load.update {
        $0.cpuUtilization = cpu
        $0.requestsPerSecond = 100
      }
      var options = ServerOptions()
      if !outOfBand { options.loadRecorder = load }
      servers.append(
        GRPCServer(
          on: .tcp("127.0.0.1", 0),
          services: [
            InteropTestService(serverID: name),
            LoadReportService(load, minimumInterval: .milliseconds(50)),
          ], options: options))
    }
    let running = servers.map { server in Task { try await server.run() } }
    var addresses: [String] = []
    for server in servers { addresses += try await server.listeningAddresses().map { "\($0)" } }
    let config = """
      {"loadBalancingConfig": [{"weighted_round_robin": {
        "enableOobLoadReport": \(outOfBand), "oobReportingPeriod": "0.1s",
        "blackoutPeriod": "0s", "weightUpdatePeriod": "0.1s"}}]}
      """
    let peer = try Grpcio.start(
      "weights", addresses.joined(separator: ","), config, script: "interop.py")
    let line = try #require(
      try await peer.line(containing: "shares ", within: .seconds(120)), "\(peer.text)")
    let shares = line.split(separator: " ").compactMap { Int($0) }
    #expect((58...62).contains(shares.first ?? 0) && shares.reduce(0, +) == 80, "\(line)")
    for server in servers { server.shutDown() }
    for run in running { try await run.value }
  }
}
