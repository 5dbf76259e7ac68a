// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import FoundationEssentials
import GreeterStubs
import SwiftProtobuf
import Testing
import TrunkDiscovery
import TrunkWire
import Trunkcall

@Suite("The README's examples")
struct ReadmeTests {
  private static let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")

  private func text(_ path: String) throws -> String {
    let data = try #require(FileManager.default.contents(atPath: ReadmeTests.root + "/" + path))
    return String(decoding: data, as: UTF8.self)
  }

  /// Without imports, and with all white space as one blank.
  private func plain(_ text: some StringProtocol) -> String {
    text.split(separator: "\n").filter { !$0.hasPrefix("import ") }
      .flatMap { $0.split(separator: " ") }.joined(separator: " ")
  }

  @Test("each Swift block of the README is compiled here, to the letter")
  func compiled() throws {
    let blocks = try text("README.md").components("```swift\n").dropFirst()
      .compactMap { $0.components("```").first }
    #expect(blocks.count >= 4)
    // A block may be several declarations, which stand apart here.
    let examples = plain(try text("Tests/ExampleTests/Examples.swift"))
    for block in blocks {
      for part in block.components("\n\n")
      where part.hasPrefix("struct") || part.hasPrefix("let")
        || part.hasPrefix("var") || part.hasPrefix("try")
      {
        let code = plain(part)
        #expect(examples.contains(code), "\(part)")
      }
    }
  }

  @Test("a custom resolver and a custom balancer find and pick a server")
  func custom() async throws {
    let server = GRPCServer(on: .tcp("127.0.0.1", 0), services: [Greeter()])
    let running = Task { try await server.run() }
    guard case .host(_, let port)? = try await server.listeningAddresses().first else { return }
    struct OnPort: Resolver {
      let scheme = "lab"
      let port: UInt16
      func resolve(_ target: Target, _ session: ResolverSession) async throws {
        let lab = LabResolver { name in [name] }
        // The example's port is fixed: take its answer, put this test's port in.
        let moved = ResolverSession(
          onReport: { resolution in
            session.report(
              Resolution(
                resolution.endpoints.map { endpoint in
                  guard case .host(let host, _)? = endpoint.addresses.first else { return endpoint }
                  return Endpoint(Address(host, port))
                }))
          }, onRefresh: { try await session.refreshRequested() })
        try await lab.resolve(target, moved)
      }
    }
    var balancers = BalancerRegistry()
    balancers.register(LeastLoaded.self)
    try await withChannel(
      to: "lab:///127.0.0.1", resolvers: [OnPort(port: port)], balancers: balancers,
      balancer: "least_loaded"
    ) { channel in
      let greeter = Helloworld_Greeter.Client(channel)
      var request = Helloworld_HelloRequest()
      request.name = "lab"
      let reply = try await greeter.sayHello(request)
      #expect(reply.message == "Hello lab")
    }
    server.shutDown()
    try await running.value
  }
}

extension String {
  fileprivate func components(_ separator: String) -> [String] {
    var parts: [String] = []
    var rest = self[...]
    while let range = rest.firstRange(of: separator) {
      parts.append(String(rest[..<range.lowerBound]))
      rest = rest[range.upperBound...]
    }
    return parts + [String(rest)]
  }
}
