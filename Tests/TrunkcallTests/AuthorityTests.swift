// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery
import TrunkTesting

@testable import Trunkcall

#if TLS
  import TrunkTLS
#endif

@Suite("The :authority of a channel's calls", .timeLimit(.minutes(1))) struct AuthorityTests {
  /// Leads every name of its scheme to one port.
  private struct LabResolver: Resolver {
    let scheme = "lab"
    var port: UInt16 = 1
    func resolve(_ target: Target, _ session: ResolverSession) async throws {
      session.report(Resolution([Endpoint(Address("127.0.0.1", port))]))
      while true { try await session.refreshRequested() }
    }
  }

  @Test(
    "whatever an authority may not hold is percent-encoded",
    arguments: [
      ("lab:///orders", "orders"), ("lab:///team/orders", "team%2Forders"),
      ("lab:///orders%20v1", "orders%20v1"), ("lab:///größe", "gr%C3%B6%C3%9Fe"),
      ("lab:///a:1", "a:1"), ("lab:///50%25", "50%25"),
      ("lab:///[fe80::1%25eth0]:7", "[fe80::1]:7"), ("lab:///fe80::1%25eth0", "fe80::1"),
    ])
  func encoded(_ target: String, _ authority: String) async throws {
    let listener = try await ScriptedPeerListener.listen()
    defer { listener.close() }
    var options = ChannelOptions()
    options.closeDeadline = .milliseconds(100)
    try await withChannel(
      to: target, resolvers: [LabResolver(port: listener.port)], options: options
    ) { channel in
      async let reply = channel.unary(AdHocService.method("M"), [1])
      let peer = try await listener.accept()
      let request = try #require(try await peer.request())
      #expect(request[":authority"] == authority)
      try await peer.answer(request.stream, messages: [[7]])
      #expect(try await reply == [7])
    }
  }

  private func refusal(
    _ target: String, _ change: (inout ChannelOptions) -> Void = { _ in },
    security: ChannelSecurity = .plaintext
  ) -> TargetError? {
    var options = ChannelOptions()
    change(&options)
    do throws(TargetError) {
      _ = try GRPCChannel(
        to: target, resolvers: [LabResolver()], security: security, options: options)
      return nil
    } catch { return error }
  }

  @Test("a channel without a name for its calls is refused when it is made")
  func empty() {
    for target in ["lab://other.example", "lab://other.example/", "lab:///", "lab:"] {
      #expect(refusal(target)?.kind == .missingAddress, "\(target)")
      #expect(refusal(target) { $0.authority = "other.example" } == nil, "\(target)")
    }
    for authority in ["", "a b", "a/b", "ä", "a\n"] {
      #expect(refusal("lab:///x") { $0.authority = authority }?.kind == .malformed, "\(authority)")
    }
    #expect(refusal("lab:///x") { $0.authority = "team%2Forders" } == nil)
  }

  #if TLS
    @Test(
      "so is one whose TLS name would turn the check off", arguments: ["", ".", ".example", "a b"])
    func tlsName(_ name: String) {
      let tls = ChannelSecurity.tls(ClientTLS(serverName: name))
      let error = refusal("dns:///localhost:1", security: tls)
      #expect(error?.reason.contains("ClientTLS.serverName") == true)
      #expect(refusal("lab://other.example", security: .tls())?.kind == .missingAddress)
    }
  #endif
}
