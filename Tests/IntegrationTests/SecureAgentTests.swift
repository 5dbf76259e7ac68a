// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
#if TLS
  import Glibc
  import ProcessSupport
  import TestCertificates
  import Testing
  import TrunkConsul
  import TrunkSockets
  import Trunkcall

  /// A real agent that is locked up: https only, client certificates, ACLs that deny by default.
  @Suite("An agent behind TLS and ACLs", .serialized, .timeLimit(.minutes(2)))
  struct SecureAgentTests {
    private static let master = "6c0a3d8e-7f3b-4a37-9d0c-5b1d2f6f7a01"

    private func environment(
      _ agent: ConsulProcess, _ certificates: TestCertificates, token: String? = master
    ) -> [String: String] {
      var variables = [
        "CONSUL_HTTP_ADDR": agent.address, "CONSUL_HTTP_SSL": "true",
        "CONSUL_CACERT": certificates.file("ca.pem"),
        "CONSUL_CLIENT_CERT": certificates.file("client.pem"),
        "CONSUL_CLIENT_KEY": certificates.file("client.key"),
      ]
      variables["CONSUL_HTTP_TOKEN"] = token
      return variables
    }
    private func start(_ certificates: TestCertificates) async throws -> ConsulProcess {
      try await ConsulProcess.startSecure(
        ca: certificates.file("ca.pem"), certificate: certificates.file("server.pem"),
        key: certificates.file("server.key"), master: Self.master)
    }
    private func client(
      _ environment: [String: String], _ arguments: String...
    ) throws -> ChildProcess {
      try ChildProcess(
        ChildProcess.built("greeter-client"),
        ["--target", "consul:///helloworld", "--count", "3", "--interval", "50ms"] + arguments,
        environment: environment)
    }

    @Test("servers over TLS register through it, pass its check over TLS, and are called")
    func works() async throws {
      let certificates = try await TestCertificates.make()
      let agent = try await start(certificates)
      let variables = environment(agent, certificates)
      var servers: [ChildProcess] = []
      for _ in 0..<2 {
        servers.append(
          try ChildProcess(
            ChildProcess.built("greeter-server"),
            [
              "--host", "127.0.0.1", "--port", "0", "--check-interval", "1s", "--tls-cert",
              certificates.file("server.pem"), "--tls-key", certificates.file("server.key"),
            ], environment: variables))
      }
      for server in servers {
        let line = try await server.line(containing: "registered with consul", within: .seconds(30))
        try #require(line != nil, "\(server.text)")
      }
      // What the agent's own checks found is in their output; it is empty until then.
      let asking = try AgentClient(ConsulAgent(environment: variables))
      var checked = false
      for _ in 0..<500 where !checked {
        let answer = try await asking.send(
          HTTPRequest(.get, "v1", "agent", "checks"), timeout: .seconds(5))
        let checks = String(decoding: answer.body, as: UTF8.self)
        checked =
          checks.split(separator: #""Status": "passing""#).count == 3
          && checks.split(separator: #""Output": "gRPC check"#).count == 3
        if !checked { try await Task.sleep(for: .milliseconds(20)) }
      }
      #expect(checked, "both are passing, by a check and not by registration alone")
      let greeter = try client(
        variables, "--tls-ca", certificates.file("ca.pem"), "--tls-server-name", "localhost")
      #expect(try await greeter.exit(within: .seconds(30)) == 0, "\(greeter.text)")
      #expect(greeter.lines.filter { $0 == "Greeting: Hello world" }.count == 3)
      for server in servers {
        server.signal(SIGTERM)
        #expect(try await server.exit(within: .seconds(15)) == 0)
        #expect(server.text.contains("deregistered"), "\(server.text)")
      }
      try await agent.kill()
    }

    @Test("a CA that is replaced in its file is used: the server registers")
    func rotatedCA() async throws {
      let certificates = try await TestCertificates.make()
      let agent = try await start(certificates)
      let path = "/tmp/trunkcall-ca-\(UInt64.random(in: 0 ... .max)).pem"
      defer { unlink(path) }
      func install(_ name: String) throws {
        let file = try #require(fopen(path, "w"))
        defer { fclose(file) }
        let bytes = certificates.bytes(name)
        fwrite(bytes, 1, bytes.count, file)
      }
      // A certificate, but not the one that signed the agent's.
      try install("client.pem")
      var variables = environment(agent, certificates)
      variables["CONSUL_CACERT"] = path
      let server = try ChildProcess(
        ChildProcess.built("greeter-server"), ["--host", "127.0.0.1", "--port", "0"],
        environment: variables)
      let refused = try await server.line(containing: "certificate", within: .seconds(30))
      #expect(refused?.contains("limit of 200") == false, "\(server.text)")
      try install("ca.pem")
      let line = try await server.line(containing: "registered with consul", within: .seconds(20))
      #expect(line != nil, "\(server.text)")
      server.signal(SIGTERM)
      #expect(try await server.exit(within: .seconds(15)) == 0)
      try await agent.kill()
    }

    /// The agent is up as soon as the right credentials get an answer.
    private func untilLeader(
      _ agent: ConsulProcess, _ certificates: TestCertificates
    ) async throws {
      let up = try AgentClient(ConsulAgent(environment: environment(agent, certificates)))
      var leader = false
      for _ in 0..<300 where !leader {
        let answer = try? await up.send(
          HTTPRequest(.get, "v1", "status", "leader"), timeout: .seconds(2))
        leader = (answer?.body.count ?? 0) > 4
        if !leader { try await Task.sleep(for: .milliseconds(50)) }
      }
      try #require(leader)
    }

    @Test(
      "each TLS variable of Consul's programs holds: address, folder of CAs, verification, name")
    func variables() async throws {
      let certificates = try await TestCertificates.make()
      let agent = try await start(certificates)
      try await untilLeader(agent, certificates)
      let folder = "/tmp/trunkcall-cas-\(UInt64.random(in: 0 ... .max))"
      mkdir(folder, 0o700)
      let hash = try ChildProcess(
        "/usr/bin/env",
        ["openssl", "x509", "-hash", "-noout", "-in", certificates.file("ca.pem")])
      #expect(try await hash.exit(within: .seconds(10)) == 0)
      let name = try #require(hash.lines.last)
      symlink(certificates.file("ca.pem"), "\(folder)/\(name).0")
      defer {
        unlink("\(folder)/\(name).0")
        rmdir(folder)
      }

      func outcome(_ change: [String: String]) async throws -> String {
        let variables = environment(agent, certificates).merging(change) { $1 }
        do {
          let client = try AgentClient(ConsulAgent(environment: variables))
          let request = HTTPRequest(.get, "v1", "agent", "self")
          return "\(try await client.send(request, timeout: .seconds(5)).status)"
        } catch { return "\(error)" }
      }
      // An http:// address does not turn TLS off, https:// turns it on.
      #expect(try await outcome(["CONSUL_HTTP_ADDR": "http://\(agent.address)"]) == "200")
      #expect(
        try await outcome([
          "CONSUL_HTTP_ADDR": "https://\(agent.address)", "CONSUL_HTTP_SSL": "",
        ]) == "200")
      #expect(
        try await outcome(["CONSUL_CACERT": "", "CONSUL_CAPATH": folder]) == "200")
      let unknown = try await outcome(["CONSUL_CACERT": ""])
      #expect(unknown.contains("certificate"), "\(unknown)")
      #expect(
        try await outcome(["CONSUL_CACERT": "", "CONSUL_HTTP_SSL_VERIFY": "false"]) == "200")
      #expect(try await outcome(["CONSUL_TLS_SERVER_NAME": "localhost:8501"]) == "200")
      let wrong = try await outcome(["CONSUL_TLS_SERVER_NAME": "other.example"])
      #expect(wrong.contains("other.example"), "\(wrong)")
      for problem in [unknown, wrong] { #expect(!problem.contains(Self.master)) }
      try await agent.kill()
    }

    @Test("without a token the diagnostics says what is missing; without a certificate, too")
    func refused() async throws {
      let certificates = try await TestCertificates.make()
      let agent = try await start(certificates)
      let name = "consul \(agent.address)"
      try await untilLeader(agent, certificates)

      var bare = environment(agent, certificates)
      bare["CONSUL_CLIENT_CERT"] = ""
      bare["CONSUL_CLIENT_KEY"] = ""
      var half = environment(agent, certificates)
      half["CONSUL_CLIENT_KEY"] = ""
      // Each goes on for its two seconds: all three at once.
      let anonymous = try client(
        environment(agent, certificates, token: nil), "--connect-timeout", "2s")
      let stranger = try client(bare, "--connect-timeout", "2s")
      let halved = try client(half, "--connect-timeout", "2s")
      #expect(try await anonymous.exit(within: .seconds(20)) == 1)
      #expect(
        anonymous.text.contains(
          "no instance is visible: the agent has ACLs and no token was sent"), "\(anonymous.text)")
      #expect(try await stranger.exit(within: .seconds(20)) == 1)
      #expect(stranger.text.contains("\(name)"), "\(stranger.text)")
      #expect(stranger.text.contains("the server refused: "), "\(stranger.text)")
      #expect(try await halved.exit(within: .seconds(20)) == 1)
      #expect(halved.text.contains("a client certificate without its key"), "\(halved.text)")
      try await agent.kill()
    }
  }
#endif
