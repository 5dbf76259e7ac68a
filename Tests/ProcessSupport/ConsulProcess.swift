// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import FoundationEssentials
import Glibc
import TrunkSockets

/// A `consul agent -dev` of its own on free ports.
///
/// The binary is `TRUNKCALL_CONSUL`, else `consul` in `PATH`, else `.cache/consul/consul` in the
/// repository. A missing binary is an error, not a skipped test.
package final class ConsulProcess: Sendable {
  package let port: UInt16
  private let arguments: [String]
  private let child = Locked<ChildProcess?>(nil)

  package var address: String { "127.0.0.1:\(port)" }

  private init(port: UInt16, arguments: [String]) {
    self.port = port
    self.arguments = arguments
  }

  /// An agent that speaks https only, wants client certificates of `ca`, and lets nobody do
  /// anything without the token `master`.
  package static func startSecure(
    ca: String, certificate: String, key: String, master: String
  ) async throws -> ConsulProcess {
    let ports = try await freePorts(3)
    let agent = ConsulProcess(
      port: ports[0],
      arguments: [
        "agent", "-dev", "-bind", "127.0.0.1", "-log-level", "warn", "-hcl",
        "ports { http = -1 https = \(ports[0]) dns = -1 grpc = -1 serf_lan = \(ports[1]) "
          + "serf_wan = -1 server = \(ports[2]) }",
        "-hcl", "verify_incoming = true verify_outgoing = true",
        "-hcl", "ca_file = \"\(ca)\" cert_file = \"\(certificate)\" key_file = \"\(key)\"",
        "-hcl",
        "acl { enabled = true default_policy = \"deny\" tokens { master = \"\(master)\" } }",
      ])
    try agent.launch()
    return agent
  }

  /// - Parameter configuration: in HCL, beside the ports.
  package static func start(_ configuration: String...) async throws -> ConsulProcess {
    let ports = try await freePorts(3)
    let agent = ConsulProcess(
      port: ports[0],
      arguments: [
        "agent", "-dev", "-bind", "127.0.0.1", "-log-level", "warn", "-hcl",
        "ports { http = \(ports[0]) dns = -1 grpc = -1 serf_lan = \(ports[1]) serf_wan = -1 "
          + "server = \(ports[2]) }",
      ] + configuration.flatMap { ["-hcl", $0] })
    try agent.launch()
    return agent
  }

  /// Starts it (again), empty, on the same ports.
  package func launch() throws {
    let process = try ChildProcess(try ConsulProcess.binary(), arguments)
    child.withLock { $0 = process }
  }

  /// Ends it without a word; its state is gone with it.
  package func kill() async throws {
    let process = child.withLock { child in
      defer { child = nil }
      return child
    }
    process?.signal(SIGKILL)
    _ = try await process?.exit(within: .seconds(5))
  }

  package static func binary() throws -> String {
    let environment = ProcessInfo.processInfo.environment
    if let path = environment["TRUNKCALL_CONSUL"] { return path }
    let folders = (environment["PATH"] ?? "").split(separator: ":").map(String.init)
    // Tests/ProcessSupport/ConsulProcess.swift
    let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    let candidates = folders.map { $0 + "/consul" } + [root + "/.cache/consul/consul"]
    if let found = candidates.first(where: { access($0, X_OK) == 0 }) { return found }
    throw SocketError(
      "consul", errno: ENOENT,
      detail: "no consul: set TRUNKCALL_CONSUL, or put it in PATH or .cache/consul/consul")
  }
}
