// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import FoundationEssentials
import Glibc
import ProcessSupport
import TrunkConsul
import TrunkSockets

/// The hosts of `Scripts/consul-cluster`: each a network namespace on the switch, which is in the
/// namespace of this process, the client's.
struct Host: Sendable, Hashable {
  let name: String
  let address: String
  var datacenter = "dc1"
  var isServer = false

  static let client = Host(name: "c", address: "10.215.0.1")
  static let servers = (1...3).map {
    Host(name: "s\($0)", address: "10.215.0.\(10 + $0)", isServer: true)
  }
  static let backEnds = (1...5).map { Host(name: "b\($0)", address: "10.215.0.\(20 + $0)") }
  /// Server and back end of the second data center.
  static let second = Host(name: "d1", address: "10.215.0.31", datacenter: "dc2", isServer: true)
}

/// Agents with Raft's default timing, no -dev, and folders that survive a restart.
final class Cluster: Sendable {
  private let prefix: String
  private let folder: String
  private let consul: String
  private struct State {
    var agents: [Host: ChildProcess] = [:]
    var isFormed = false
  }
  private let state = Locked(State())

  init() throws {
    let environment = ProcessInfo.processInfo.environment
    guard let prefix = environment["TRUNKCALL_CLUSTER"],
      let folder = environment["TRUNKCALL_CLUSTER_FOLDER"]
    else { throw Broken("started by Scripts/consul-cluster, which makes the namespaces") }
    self.prefix = prefix
    self.folder = folder
    consul = try ConsulProcess.binary()
  }

  /// A program on a host.
  func start(_ words: [String], on host: Host) throws -> ChildProcess {
    if host == .client { return try ChildProcess(words[0], Array(words.dropFirst())) }
    return try ChildProcess(
      "/usr/bin/env", ["ip", "netns", "exec", "\(prefix)-\(host.name)"] + words)
  }

  /// This program on a host.
  func serve(
    _ name: String, port: UInt16 = 50_051, registers: Bool = true, on host: Host,
    listening address: String? = nil
  ) async throws -> ChildProcess {
    let process = try start(
      [
        ChildProcess.built("consul-cluster"), "serve", address ?? host.address, String(port), name,
        registers ? "127.0.0.1:8500" : "-",
      ], on: host)
    guard try await process.line(containing: "listening", within: .seconds(20)) != nil else {
      throw Broken("no server on \(host.name): \(process.text)")
    }
    return process
  }

  // MARK: Agents

  /// Three servers, an agent on each back end's host and one on the client's.
  func form() async throws {
    if state.withLock({ $0.isFormed }) { return }
    for host in Host.servers + Host.backEnds + [.client] { try launch(host) }
    try await until(within: .seconds(60), "three servers with a leader, nine members") {
      guard await self.leader() != nil, try await self.peers() == 3 else { return false }
      return try await self.members() == 9
    }
    state.withLock { $0.isFormed = true }
  }

  /// A second data center of one server, joined by WAN.
  func formSecond() async throws {
    if state.withLock({ $0.agents[.second] != nil }) { return }
    try launch(.second)
    try await until(within: .seconds(60), "two data centers") {
      guard let text = try? await self.get("catalog", "datacenters"), text.contains("dc2") else {
        return false
      }
      // Answered through the servers of the first.
      let nodes = try? await self.get("catalog", "nodes", query: ["dc": "dc2"])
      return nodes?.contains("d1") ?? false
    }
  }

  func launch(_ host: Host) throws {
    var words = [
      consul, "agent", "-node", host.name, "-datacenter", host.datacenter, "-bind", host.address,
      "-client", "0.0.0.0", "-data-dir", "\(folder)/\(host.name)", "-log-level", "warn",
      "-retry-interval", "1s", "-hcl", "ports { dns = -1 grpc = -1 }",
    ]
    let servers = host.datacenter == "dc1" ? Host.servers : [host]
    if host.isServer {
      words += ["-server", "-bootstrap-expect", String(servers.count)]
      if host.datacenter != "dc1" { words += ["-retry-join-wan", Host.servers[0].address] }
    }
    for server in servers where server != host { words += ["-retry-join", server.address] }
    let process = try start(words, on: host)
    state.withLock { $0.agents[host] = process }
  }

  /// SIGKILL.
  func kill(_ host: Host) async throws {
    let process = state.withLock { $0.agents.removeValue(forKey: host) }
    process?.signal(SIGKILL)
    _ = try await process?.exit(within: .seconds(5))
  }

  func log(of host: Host) -> String { state.withLock { $0.agents[host] }?.text ?? "" }

  func forget(_ host: Host) throws {
    try FileManager.default.removeItem(atPath: "\(folder)/\(host.name)")
  }

  // MARK: The network

  /// Nothing comes or goes, without a packet that says so.
  func partition(_ host: Host) async throws { try await ip("link", "set", host.name, "down") }
  func heal(_ host: Host) async throws { try await ip("link", "set", host.name, "up") }

  private func ip(_ words: String...) async throws {
    let process = try ChildProcess("/usr/bin/env", ["ip"] + words)
    guard try await process.exit(within: .seconds(5)) == 0 else {
      throw Broken("ip \(words.joined(separator: " ")): \(process.text)")
    }
  }

  // MARK: The API

  func get(_ path: String..., on host: Host = .client, query: [String: String] = [:]) async throws
    -> String
  {
    var request = HTTPRequest(.get)
    request.path = ["v1"] + path
    for (name, value) in query { request.addQuery(name, value) }
    return try await send(request, host)
  }

  @discardableResult
  func put(_ path: String..., body: String? = nil, on host: Host) async throws -> String {
    var request = HTTPRequest(.put)
    request.path = ["v1"] + path
    request.body = body.map { Array($0.utf8) }
    return try await send(request, host)
  }

  private func send(_ request: HTTPRequest, _ host: Host) async throws -> String {
    let client = try AgentClient(ConsulAgent("\(host.address):8500"))
    defer { client.close() }
    return String(
      decoding: try await client.send(request, timeout: .seconds(60)).body, as: UTF8.self)
  }

  func leader() async -> Host? {
    guard let text = try? await get("status", "leader") else { return nil }
    return Host.servers.first { text.contains("\"\($0.address):") }
  }

  private func peers() async throws -> Int {
    guard let text = try? await get("status", "peers") else { return 0 }
    return text.split(separator: "\"").count { $0.contains(":8300") }
  }

  private func voters() async throws -> Int {
    guard let text = try? await get("operator", "raft", "configuration") else { return 0 }
    return text.split(separator: "\"Voter\":").dropFirst().count { $0.hasPrefix("true") }
  }

  /// Those that are alive.
  private func members() async throws -> Int {
    guard let text = try? await get("agent", "members") else { return 0 }
    return text.split(separator: "\"Status\":").dropFirst().count { $0.hasPrefix("1,") }
  }

  /// Nine members that are alive, a leader, and three servers that vote: as before a disaster. A server that
  /// has just come back has no vote yet, and two votes are no majority of three once one is gone.
  func settled() async throws {
    try await until(within: .seconds(60), "the cluster is whole again") {
      guard await self.leader() != nil, try await self.members() == 9 else { return false }
      return try await self.voters() == 3
    }
  }

  /// An instance without a check.
  func register(_ id: String, _ service: String, _ host: Host, port: UInt16) async throws {
    try await put(
      "agent", "service", "register",
      body: """
        {"ID": "\(id)", "Name": "\(service)", "Address": "\(host.address)", "Port": \(port)}
        """, on: host)
  }
  func deregister(_ id: String, _ host: Host) async throws {
    try await put("agent", "service", "deregister", id, on: host)
  }
}

/// - Throws: ``Broken`` if it did not come true.
func until(
  within limit: Duration, _ what: String, every pause: Duration = .milliseconds(50),
  _ condition: () async throws -> Bool
) async throws {
  let end = ContinuousClock.now + limit
  while try await !condition() {
    if ContinuousClock.now > end { throw Broken("not within \(limit): \(what)") }
    try await Task.sleep(for: pause)
  }
}

extension ConsulProcess {
  /// Until it has elected itself.
  func ready() async throws {
    let client = try AgentClient(ConsulAgent(address))
    defer { client.close() }
    var request = HTTPRequest(.get)
    request.path = ["v1", "status", "leader"]
    try await until(within: .seconds(20), "the agent has a leader") {
      guard let answer = try? await client.send(request, timeout: .seconds(2)) else { return false }
      return answer.body.count > 4
    }
  }
}
