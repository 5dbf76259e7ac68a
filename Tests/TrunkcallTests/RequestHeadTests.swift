// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkTesting

@testable import Trunkcall

@Suite("What a request's headers say of itself and its client", .timeLimit(.minutes(1)))
struct RequestHeadTests {
  private func names(
    _ all: inout RepeatedNames, _ authority: String?, _ userAgent: String?
  ) -> CallNames? {
    var names: CallNames?
    if let authority {
      names = Array(authority.utf8).withUnsafeBytes { all.with(authority: $0) }
    }
    guard let userAgent else { return names?.withoutUserAgent }
    return Array(userAgent.utf8).withUnsafeBytes { all.with(userAgent: $0, beside: names) }
  }

  @Test("calls that say the same have one object for it, others have their own")
  func repeated() throws {
    var all = RepeatedNames()
    let first = try #require(names(&all, "a", "x/1"))
    #expect(first.authority == "a" && first.userAgent == "x/1")
    #expect(names(&all, "a", "x/1") === first)
    let agent = try #require(names(&all, "a", "y/1"))
    #expect(agent.authority == "a" && agent.userAgent == "y/1")
    let authority = try #require(names(&all, "b", "y/1"))
    #expect(authority.authority == "b" && authority.userAgent == "y/1")
    #expect(first.userAgent == "x/1", "what a call has does not change")
  }

  @Test("a call without a user agent does not have the one of the call before")
  func noUserAgent() throws {
    var all = RepeatedNames()
    _ = names(&all, "a", "x/1")
    #expect(names(&all, "a", nil)?.userAgent == "")
    #expect(names(&all, "a", "x/1")?.userAgent == "x/1")
    #expect(names(&all, nil, "x/1")?.authority == "" && names(&all, nil, nil) == nil)
    #expect(names(&all, "", "x/1")?.authority == "")
    #expect(names(&all, "c", nil)?.authority == "c")
  }

  @Test("each handler of a connection sees its own call's names")
  func seenByHandlers() async throws {
    let service = AdHocService(unary: [
      "Names": { _, call in Array("\(call.authority) \(call.userAgent)".utf8) }
    ])
    try await withServer([service]) { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      let calls: [(authority: String, userAgent: String?)] = [
        ("a", "x"), ("a", "x"), ("b", "x"), ("b", nil), ("b", "y"), ("a", "x"),
      ]
      var stream: Int32 = 1
      for (authority, userAgent) in calls {
        var headers = ScriptedPeer.request("/t.AdHoc/Names").filter {
          $0.name != ":authority" && $0.name != "user-agent"
        }
        headers.insert(ScriptedHeader(":authority", authority), at: 0)
        if let userAgent { headers.append(ScriptedHeader("user-agent", userAgent)) }
        try await peer.send([
          .headers(stream, headers), .data(stream, ScriptedPeer.message([]), endStream: true),
        ])
        let response = try await peer.response(stream)
        #expect(
          response.messages.map { String(decoding: $0, as: UTF8.self) }
            == ["\(authority) \(userAgent ?? "")"])
        stream += 2
      }
      await peer.close()
    }
  }
}
