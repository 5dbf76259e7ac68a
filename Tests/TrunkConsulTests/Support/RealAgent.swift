// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import FoundationEssentials
import Glibc
import ProcessSupport
import Synchronization
import Testing
import TrunkSockets

@testable import TrunkConsul

/// A `consul agent -dev` of its own, on free ports, killed by its pid.
///
/// The binary is `TRUNKCALL_CONSUL`, else `consul` in `PATH`, else `.cache/consul/consul` in the
/// repository. A missing binary fails the tests.
final class RealAgent: Sendable {
  let port: UInt16
  private let arguments: [String]
  private let pid = Locked<pid_t>(0)

  var agent: ConsulAgent { ConsulAgent("127.0.0.1:\(port)") }
  /// Set by the suite's trait.
  @TaskLocal static var current: RealAgent?

  static func get() throws -> RealAgent { try #require(current) }

  private init(port: UInt16, arguments: [String]) {
    self.port = port
    self.arguments = arguments
  }

  deinit { kill() }

  /// - Parameter settings: further ones, in HCL.
  static func start(_ settings: String = "") async throws -> RealAgent {
    let ports = try await freePorts(3)
    let agent = RealAgent(
      port: ports[0],
      arguments: [
        try binary(), "agent", "-dev", "-bind", "127.0.0.1", "-log-level", "warn", "-hcl",
        "ports { http = \(ports[0]) dns = -1 grpc = -1 serf_lan = \(ports[1]) serf_wan = -1 "
          + "server = \(ports[2]) } \(settings)",
      ])
    try await agent.launch()
    return agent
  }

  /// A server that keeps its state in `folder`, as an agent outside of tests does; `settings` are in
  /// Consul's own language.
  static func start(dataIn folder: String, _ settings: String...) async throws -> RealAgent {
    let ports = try await freePorts(3)
    let agent = RealAgent(
      port: ports[0],
      arguments: [
        try binary(), "agent", "-server", "-bootstrap-expect", "1", "-data-dir", folder, "-bind",
        "127.0.0.1", "-log-level", "warn", "-hcl", "performance { raft_multiplier = 1 }", "-hcl",
        "ports { http = \(ports[0]) dns = -1 grpc = -1 serf_lan = \(ports[1]) serf_wan = -1 "
          + "server = \(ports[2]) }",
      ] + settings.flatMap { ["-hcl", $0] })
    try await agent.launch()
    return agent
  }

  /// Stops it, as a host that hangs, and lets it go on.
  func freeze(_ isFrozen: Bool) {
    let process = pid.withLock { $0 }
    guard process > 0 else { return }
    Glibc.kill(process, isFrozen ? SIGSTOP : SIGCONT)
  }

  /// Ends it without a word; its state is gone with it.
  func kill() {
    let old = pid.withLock { pid in
      defer { pid = 0 }
      return pid
    }
    guard old > 0 else { return }
    Glibc.kill(old, SIGKILL)
    waitpid(old, nil, 0)
  }

  /// Starts it (again) on the same ports and waits until it has a leader.
  func launch() async throws {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] {
      posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0)
    }
    var child: pid_t = 0
    var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    let failure = posix_spawn(&child, arguments[0], &actions, nil, &words, environ)
    try #require(failure == 0, "consul does not start: errno \(failure)")
    pid.withLock { $0 = child }
    let client = try AgentClient(agent)
    let leader = HTTPRequest(.get, "v1", "status", "leader")
    let ready = try await eventually(within: .seconds(20)) {
      guard let answer = try? await client.send(leader, timeout: .seconds(1)) else { return false }
      return answer.body.count > 4
    }
    try #require(ready, "consul has no leader after 20 s")
  }

  private static func binary() throws -> String {
    let environment = ProcessInfo.processInfo.environment
    if let path = environment["TRUNKCALL_CONSUL"] { return path }
    let folders = (environment["PATH"] ?? "").split(separator: ":").map(String.init)
    // Tests/TrunkConsulTests/Support/RealAgent.swift
    let root = String(#filePath.split(separator: "/").dropLast(4).joined(separator: "/"))
    let candidates = folders.map { $0 + "/consul" } + ["/" + root + "/.cache/consul/consul"]
    let found = candidates.first { (path: String) -> Bool in access(path, X_OK) == 0 }
    return try #require(
      found, "no consul: set TRUNKCALL_CONSUL, or put it in PATH or .cache/consul/consul")
  }

  // MARK: Asking it

  func get(_ path: String...) async throws -> String {
    var request = HTTPRequest(.get)
    request.path = path
    let answer = try await AgentClient(agent).send(request, timeout: .seconds(5))
    return String(decoding: answer.body, as: UTF8.self).trimmed
  }

  /// Puts an instance there, healthy as `status` says.
  func put(_ name: String, port: UInt16, status: String = "passing", tags: [String] = [])
    async throws
  {
    var request = HTTPRequest(.put, "v1", "agent", "service", "register")
    request.body = Array(
      #"""
      {"ID":"\#(name)-\#(port)","Name":"\#(name)","Address":"127.0.0.1","Port":\#(port),
       "Tags":[\#(tags.map { "\"\($0)\"" }.joined(separator: ","))],
       "Check":{"TTL":"10m","Status":"\#(status)"}}
      """#.utf8)
    _ = try await AgentClient(agent).send(request, timeout: .seconds(5))
  }

  /// Writes to the catalogue itself, as an external node's instances are registered.
  func catalog(_ verb: String, _ json: String) async throws {
    var request = HTTPRequest(.put, "v1", "catalog", verb)
    request.body = Array(json.utf8)
    _ = try await AgentClient(agent).send(request, timeout: .seconds(5))
  }

  /// The library never sends a POST.
  func definePreparedQuery(_ json: String) async throws {
    let stream = try await ByteStream.connect(
      to: .host("127.0.0.1", port), on: EventLoopGroup.shared.next(), timeout: .seconds(5))
    defer { stream.close() }
    let head =
      "POST /v1/query HTTP/1.1\r\nHost: consul\r\nContent-Length: \(json.utf8.count)\r\n\r\n"
    try await stream.write(Array((head + json).utf8), timeout: .seconds(5))
    let answer = String(decoding: try await stream.read(timeout: .seconds(5)), as: UTF8.self)
    try #require(answer.hasPrefix("HTTP/1.1 200"), "\(answer)")
  }

  func remove(_ name: String, port: UInt16) async throws {
    try await AgentClient(agent).deregister(
      serviceID: "\(name)-\(port)", timeout: .seconds(5))
  }

  func turn(_ name: String, port: UInt16, to status: String) async throws {
    let request = HTTPRequest(.put, "v1", "agent", "check", status, "service:\(name)-\(port)")
    _ = try await AgentClient(agent).send(request, timeout: .seconds(5))
  }
}

/// One real agent for all tests of a suite.
struct RealAgentTrait: SuiteTrait, TestScoping {
  @concurrent func provideScope(
    for test: Test, testCase: Test.Case?,
    performing function: @Sendable @concurrent () async throws -> Void
  ) async throws {
    let agent = try await RealAgent.start()
    defer { agent.kill() }
    try await RealAgent.$current.withValue(agent) { try await function() }
  }
}

extension Trait where Self == RealAgentTrait {
  static var realConsul: RealAgentTrait { RealAgentTrait() }
}
