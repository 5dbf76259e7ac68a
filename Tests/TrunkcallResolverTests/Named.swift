// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Trunkcall

/// Answers every call with its number.
struct Named: RPCService {
  let number: UInt8
  static let method = MethodDescriptor<[UInt8], [UInt8]>(
    service: "t.Named", method: "Name", request: .bytes, response: .bytes)

  func register(in table: inout MethodTable) {
    table.unary(Named.method) { [number] _, _ in [number] }
  }

  /// Runs servers with the numbers 1 and up, and gives `body` their ports.
  static func withServers(_ count: Int, _ body: ([UInt16]) async throws -> Void) async throws {
    let servers = (1...count).map {
      GRPCServer(on: .tcp("127.0.0.1", 0), services: [Named(number: UInt8($0))])
    }
    try await withThrowingTaskGroup(of: Void.self) { group in
      defer { for server in servers { server.shutDown() } }
      var ports: [UInt16] = []
      for server in servers {
        group.addTask { try await server.run() }
        guard case .host(_, let port)? = try await server.listeningAddresses().first else { return }
        ports.append(port)
      }
      try await body(ports)
    }
  }
}
