// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkTesting
import Trunkcall

@Suite(
  "SETTINGS_MAX_HEADER_LIST_SIZE of the peer (RFC 9113 §6.5.2), and the content-type",
  .timeLimit(.minutes(2)))
struct HeaderLimitTests {
  @Test("a request that the server would not take is refused with both sizes, and nothing is sent")
  func client() async throws {
    try await withScriptedServer { channel, listener in
      channel.connect()
      let peer = try await listener.accept(settings: [.maxHeaderListSize(1_000)])
      try await channel.ready(within: .seconds(10))
      let large = CallOptions(
        timeout: .seconds(10), metadata: ["x": String(repeating: "y", count: 1_000)])
      let error = await failure { _ = try await channel.unary(method("M"), [1], large) }
      #expect(error?.code == .resourceExhausted && error?.origin == .local)
      #expect(error?.message.contains("1000 bytes") == true, "\(String(describing: error))")
      async let second = channel.unary(method("M"), [2], CallOptions(timeout: .seconds(10)))
      let request = try #require(try await peer.request())
      #expect(request.stream == 1 && request["x"] == nil)
      try await peer.answer(request.stream, messages: [[7]])
      #expect(try await second == [7])
    }
  }

  @Test("a status fits the client's list: details go first, then the message; metadata is refused")
  func server() async throws {
    struct Service: RPCService {
      func register(in table: inout MethodTable) {
        table.unary(ProbeService.method("Fail")) { _, _ in
          var error = RPCError(
            .aborted, String(repeating: "why ", count: 500), metadata: ["k": "v"])
          error.metadata.add(
            binary: [UInt8](repeating: 1, count: 3_000), for: "grpc-status-details-bin")
          throw error
        }
        table.unary(ProbeService.method("Initial")) { _, call in
          try call.addInitialMetadata(["x": String(repeating: "y", count: 2_000)])
          return []
        }
        table.unary(ProbeService.method("Trailing")) { _, call in
          try call.addTrailingMetadata(["x": String(repeating: "y", count: 2_000)])
          return []
        }
      }
    }
    try await withServer([Service()]) { _, port in
      let peer = try await ScriptedPeer.connect(port: port, settings: [.maxHeaderListSize(1_000)])
      try await peer.call(1, "/t.Probe/Fail", messages: [[]])
      let failed = try await peer.response(1)
      #expect(failed.status == 10 && failed.trailer("k") == "v" || failed["k"] == "v")
      #expect(
        failed["grpc-status-details-bin"] == nil && failed.message?.hasPrefix("why why") == true)
      for (stream, name) in [(3, "Initial"), (5, "Trailing")] as [(Int32, String)] {
        try await peer.call(stream, "/t.Probe/\(name)", messages: [[]])
        let response = try await peer.response(stream)
        #expect(response.status == 8 && response.message?.contains("1000 bytes") == true)
      }
      await peer.close()
    }
  }

  @Test("the response's content-type is the request's")
  func contentType() async throws {
    try await withServer { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      for (stream, type, path) in [
        (1, "application/grpc", "Echo"), (3, "application/grpc+proto", "Echo"),
        (5, "application/grpc+proto", "Fail"), (7, "application/grpc", "Fail"),
      ] as [(Int32, String, String)] {
        try await peer.send(
          .headers(stream, ScriptedPeer.request("/t.Probe/\(path)", contentType: type)),
          .data(stream, ScriptedPeer.message([5]), endStream: true))
        #expect(try await peer.response(stream)["content-type"] == type)
      }
      await peer.close()
    }
  }
}
