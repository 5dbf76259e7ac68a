// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import EchoService
import FoundationEssentials
import ProcessSupport
import Testing
import TrunkServices
import Trunkcall

@Suite("grpcio calls our server")
struct ServerInteropTests {
  private struct Result: Decodable {
    var `case`: String
    var ok: Bool
    var why: String
  }
  private static let cases: Set<String> = [
    "unary", "empty_messages", "collect", "collect_nothing", "expand", "chat", "metadata",
    "statuses", "status_text", "status_after_messages", "deadline", "cancellation", "large",
    "too_large", "parallel", "unknown", "health", "health_list",
  ]

  @Test(
    "all shapes, metadata, statuses, deadline, cancellation, sizes, health", .timeLimit(.minutes(3))
  )
  func everything() async throws {
    let health = HealthService()
    let server = GRPCServer(on: .tcp("127.0.0.1", 0), services: [EchoService(), health])
    async let running: Void = server.run()
    let address = try #require(try await server.listeningAddresses().first)
    health.setServing("up", true)
    health.setServing("down", false)
    let client = try Grpcio.start("client", address.description)
    #expect(try await client.exit(within: .seconds(120)) == 0, "\(client.text)")
    var seen: Set<String> = []
    for line in client.lines where line.hasPrefix("{") {
      let result = try JSONDecoder().decode(Result.self, from: Data(line.utf8))
      seen.insert(result.case)
      #expect(result.ok, "\(result.case): \(result.why)")
    }
    #expect(seen == ServerInteropTests.cases, "\(client.text)")
    server.shutDown()
    try await running
  }
}
