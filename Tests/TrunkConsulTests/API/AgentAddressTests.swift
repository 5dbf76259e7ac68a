// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery

@testable import TrunkConsul

@Suite("Reaching the agent") struct AgentAddressTests {
  @Test(
    "every form of CONSUL_HTTP_ADDR",
    arguments: [
      ("127.0.0.1:8500", AgentAddress.local), ("127.0.0.1", .local),
      (" http://127.0.0.1:8500/ ", .local),
      ("consul.example:80", AgentAddress(.host("consul.example", 80))),
      ("[::1]:8501", AgentAddress(.host("::1", 8501))),
      ("https://agent:8501", AgentAddress(.host("agent", 8501), isSecure: true)),
      ("HTTP://proxy:80/a/b", AgentAddress(.host("proxy", 80), prefix: ["a", "b"])),
      ("unix:///run/consul.sock", AgentAddress(.unix("/run/consul.sock"))),
    ])
  func forms(text: String, address: AgentAddress) throws {
    #expect(try AgentAddress(parsing: text) == address)
  }

  @Test(
    "each wrong form has its own sentence",
    arguments: [
      ("ftp://x", "unknown scheme \"ftp\""), ("unix://", "missing path"),
      ("127.0.0.1:", "a colon without a port"), (":8500", "missing address"),
      ("", "missing address"), ("host:99999", "is not a number"),
    ])
  func wrong(text: String, reason: String) {
    #expect { try AgentAddress(parsing: text) } throws: { error in
      "\(error)".contains(reason) && "\(error)".contains("allowed")
    }
  }

  @Test("the environment is read as Consul's own programs read it") func environment() {
    let agent = ConsulAgent(environment: [
      "CONSUL_HTTP_ADDR": "http://a:1", "CONSUL_HTTP_TOKEN": "secret",
      "CONSUL_HTTP_TOKEN_FILE": "/t", "CONSUL_HTTP_AUTH": "u:p", "CONSUL_NAMESPACE": "n",
      "CONSUL_PARTITION": "p",
    ])
    #expect(agent.address == "http://a:1")
    #expect(agent.token == .file("/t"), "the file wins")
    #expect(agent.basicAuth == "u:p")
    #expect(agent.namespace == "n")
    #expect(agent.partition == "p")
    let secure = ConsulAgent(environment: [
      "CONSUL_HTTP_ADDR": "a:1", "CONSUL_HTTP_SSL": "true", "CONSUL_HTTP_SSL_VERIFY": "0",
      "CONSUL_CACERT": "/ca", "CONSUL_CAPATH": "/cas", "CONSUL_CLIENT_CERT": "/c",
      "CONSUL_CLIENT_KEY": "/k", "CONSUL_TLS_SERVER_NAME": "consul.example:8501",
    ])
    #expect(secure.usesTLS && !secure.tls.verifiesServer)
    #expect(secure.tls.caFile == "/ca" && secure.tls.caFolder == "/cas")
    #expect(secure.tls.certificateFile == "/c" && secure.tls.keyFile == "/k")
    #expect(secure.tls.serverName == "consul.example")
    for (variables, reason) in [
      (["CONSUL_CLIENT_CERT": "/c"], "without its key"),
      (["CONSUL_CLIENT_KEY": "/k"], "without its certificate"),
      (["CONSUL_HTTP_SSL": "maybe"], "CONSUL_HTTP_SSL=maybe"),
    ] {
      let agent = ConsulAgent(environment: variables)
      #expect { try agent.validate() } throws: { "\($0)".contains(reason) }
    }
    #expect(ConsulAgent(environment: ["CONSUL_HTTP_ADDR": " "]) == ConsulAgent())
    #expect(ConsulAgent(environment: ["CONSUL_HTTP_TOKEN": "x\n"]).token == .value("x"))
  }

  @Test("no description shows a credential") func redacted() {
    let agent = ConsulAgent("a:1", token: .value("secret"), basicAuth: "u:secret")
    var dumped = ""
    dump(agent, to: &dumped)
    let odd = ConsulAgent("http://user:secret@a:1")
    dump(odd, to: &dumped)
    #expect {
      try odd.validate()
    } throws: { !"\($0)".contains("secret") && "\($0)".contains("CONSUL_HTTP_AUTH") }
    for text in ["\(agent)", "\(odd)", String(reflecting: agent), dumped] {
      #expect(!text.contains("secret"))
    }
  }

  @Test("durations are Go's, and never zero") func durations() {
    #expect(ConsulDuration.text(.seconds(10)) == "10s")
    #expect(ConsulDuration.text(.seconds(60)) == "1m")
    #expect(ConsulDuration.text(.seconds(90)) == "90s")
    #expect(ConsulDuration.text(.milliseconds(250)) == "250ms")
    #expect(ConsulDuration.text(.zero) == "1ms")
    #expect(ConsulDuration.milliseconds(.microseconds(10)) == "1ms")
    #expect(ConsulDuration.milliseconds(.seconds(60)) == "60000ms")
    #expect(ConsulDuration.parse("1h30m") == .seconds(5_400))
    #expect(ConsulDuration.parse("250ms") == .milliseconds(250))
    for bad in ["", "10", "s", "-1s", "1x", "1e9h", "99999999999999999999h"] {
      #expect(ConsulDuration.parse(bad) == nil)
    }
  }
}
