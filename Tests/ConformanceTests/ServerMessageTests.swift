// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Synchronization
import Testing
import TrunkTesting
import Trunkcall

private let noError: UInt32 = 0
private let cancel: UInt32 = 8

private func call(_ method: String, _ frames: ScriptedFrame...) -> [ScriptedFrame] {
  [.headers(1, ScriptedPeer.request("/t.Probe/\(method)"))] + frames
}

@Suite("5.6 and 5.7: messages, ends and statuses, the server's side", .timeLimit(.minutes(2)))
struct ServerMessageTests {
  static let messages: [ServerCase] = [
    ServerCase(
      "an empty message is a message",
      call("Echo", .data(1, ScriptedPeer.message([]), endStream: true)), .reply("")),
    ServerCase(
      "a flag other than 0 and 1 is INTERNAL",
      call("Echo", .data(1, ScriptedPeer.message([1], flag: 2), endStream: true)),
      .status(13, "flag 2")),
    ServerCase(
      "flag 1 without grpc-encoding is INTERNAL",
      call("Echo", .data(1, ScriptedPeer.message([1], flag: 1), endStream: true)), .status(13)),
    ServerCase(
      "a message that is cut short is INTERNAL",
      call("Echo", .data(1, [0, 0, 0, 0, 2, 1], endStream: true)), .status(13, "middle")),
    ServerCase(
      "a prefix that is cut short is INTERNAL", call("Echo", .data(1, [0, 0], endStream: true)),
      .status(13, "middle")),
    ServerCase(
      "a message over the limit is RESOURCE_EXHAUSTED by its claim alone",
      call("Echo", .data(1, [0, 0xff, 0xff, 0xff, 0xff])), .status(8, "4294967295")),
    ServerCase(
      "no message where one is due is UNIMPLEMENTED: a request that ends with its headers",
      [.headers(1, ScriptedPeer.request("/t.Probe/Echo"), endStream: true)],
      .status(12, "no message")),
    ServerCase(
      "no message where one is due is UNIMPLEMENTED: an empty DATA",
      call("Echo", .data(1, [], endStream: true)), .status(12, "no message")),
    ServerCase(
      "no message where one is due is UNIMPLEMENTED: server streaming",
      call("None", .data(1, [], endStream: true)), .status(12, "no message")),
    ServerCase(
      "two messages where one is due are UNIMPLEMENTED",
      call(
        "Echo", .data(1, ScriptedPeer.message([1]) + ScriptedPeer.message([2]), endStream: true)),
      .status(12, "more than")),
    ServerCase(
      "two messages where one is due are UNIMPLEMENTED: server streaming",
      call(
        "None", .data(1, ScriptedPeer.message([1]) + ScriptedPeer.message([2]), endStream: true)),
      .status(12, "more than")),
    ServerCase(
      "trailers end a request as an empty DATA does",
      call(
        "Echo", .data(1, ScriptedPeer.message([65])),
        .headers(1, [ScriptedHeader("x", "y")], endStream: true)), .reply("A")),
    ServerCase(
      "an empty DATA frame ends a request",
      call("Echo", .data(1, ScriptedPeer.message([65])), .data(1, [], endStream: true)), .reply("A")
    ),
    ServerCase(
      "padding is not part of a message",
      call("Echo", .padded(1, ScriptedPeer.message([65]), padding: 255, endStream: true)),
      .reply("A")),
    ServerCase(
      "the handler's error is the status", fail(5, "no such thing"), .status(5, "no such")),
    ServerCase(
      "grpc-message is percent-encoded UTF-8", fail(9, "\t%ä😈\r\n~ "),
      .status(9, "%09%25%C3%A4%F0%9F%98%88%0D%0A~%20")),
    ServerCase(
      "a request that is no such message is INTERNAL",
      call("Unreadable", .data(1, ScriptedPeer.message([1]), endStream: true)), .status(13)),
    ServerCase(
      "a handler that throws something of its own is UNKNOWN, and tells nothing",
      call("Crash", .data(1, ScriptedPeer.message([1]), endStream: true)), .status(2, "failed")),
    ServerCase(
      "a handler that was cancelled is CANCELLED",
      call("GiveUp", .data(1, ScriptedPeer.message([1]), endStream: true)), .status(1)),
    ServerCase(
      "an unknown method is UNIMPLEMENTED",
      call("Nope", .data(1, ScriptedPeer.message([1]), endStream: true)),
      .status(12, "unknown method /t.Probe/Nope")),
  ]

  private static func fail(_ code: UInt8, _ text: String) -> [ScriptedFrame] {
    call("Fail", .data(1, ScriptedPeer.message([code] + Array(text.utf8)), endStream: true))
  }

  @Test(
    "each request has its status, and the connection goes on", arguments: messages)
  func statuses(_ row: ServerCase) async throws {
    try await withServer { _, port in try await row.check(port: port) }
  }

  @Test("message boundaries are independent of DATA frames", arguments: [1, 2, 5, 7, 1_000])
  func boundaries(size: Int) async throws {
    try await withServer { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      let sent: [[UInt8]] = [[1, 2, 3], [], [4], [UInt8](repeating: 5, count: 300), []]
      let bytes = sent.flatMap { ScriptedPeer.message($0) }
      try await peer.send(.headers(1, ScriptedPeer.request("/t.Probe/Chat")))
      for start in stride(from: 0, to: bytes.count, by: size) {
        try await peer.send(.data(1, Array(bytes[start..<min(start + size, bytes.count)])))
      }
      try await peer.send(.data(1, [], endStream: true))
      #expect(try await peer.response(1).messages == sent)
    }
  }

  @Test("padding counts in both windows: what is padded beyond them goes on arriving")
  func padding() async throws {
    try await withServer { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      try await peer.send(.headers(1, ScriptedPeer.request("/t.Probe/Count")))
      // 5 MiB of padding: more than the windows of stream (1 MiB) and connection (4 MiB).
      var sent = 0
      var credit = (stream: 1 << 20, connection: 65_535)
      while sent < 5 << 20 {
        while credit.stream < 262 || credit.connection < 262 {
          let frame = try await peer.next(where: {
            if case .windowUpdate = $0 { true } else { false }
          })
          guard case .windowUpdate(let id, let count)? = frame else {
            Issue.record("no more credit after \(sent) bytes")
            return
          }
          if id == 0 { credit.connection += Int(count) } else { credit.stream += Int(count) }
        }
        let count = min(credit.stream, credit.connection) / 262
        try await peer.send(
          (0..<count).map { _ in .padded(1, ScriptedPeer.message([7]), padding: 255) })
        sent += count * 262
        credit.stream -= count * 262
        credit.connection -= count * 262
      }
      try await peer.send(.data(1, [], endStream: true))
      #expect(try await peer.response(1).messages.map(text) == ["\(sent / 262)"])
    }
  }

  @Test("a response is headers, messages and trailers, each block in one, the status in the last")
  func response() async throws {
    try await withServer { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      try await peer.call(1, "/t.Probe/Chat", messages: [[1], [2]])
      var frames: [ScriptedFrame] = []
      while let frame = try await peer.next(where: { $0.stream == 1 }) {
        frames.append(frame)
        if case .headers(_, _, true) = frame { break }
      }
      guard case .headers(_, let head, false)? = frames.first,
        case .headers(_, let trailers, true)? = frames.last
      else { return #expect(Bool(false), "\(frames)") }
      #expect(
        head == [
          ScriptedHeader(":status", "200"), ScriptedHeader("content-type", "application/grpc"),
        ])
      #expect(trailers == [ScriptedHeader("grpc-status", "0")])
      #expect(
        frames.dropFirst().dropLast().allSatisfy { if case .data = $0 { true } else { false } })
      // Without a message there are headers nevertheless: OK is not Trailers-Only.
      try await peer.call(3, "/t.Probe/None", messages: [[1]])
      let none = try await peer.response(3)
      #expect(none.status == 0 && none.messages.isEmpty && !none.isTrailersOnly)
      // An error without a message is.
      try await peer.call(5, "/t.Probe/Fail", messages: [[16]])
      let failed = try await peer.response(5)
      #expect(failed.isTrailersOnly && failed[":status"] == "200" && failed.trailer("k") == "v")
      #expect(failed["content-type"] == "application/grpc" && failed.message == nil)
    }
  }

  @Test("a server that ends before its client sends RST_STREAM NO_ERROR behind the trailers")
  func endsFirst() async throws {
    try await withServer { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      try await peer.call(1, "/t.Probe/First", messages: [[8]], end: false)
      let response = try await peer.response(1)
      #expect(response.status == 0 && response.messages == [[8]])
      #expect(try await peer.next(where: { $0.stream == 1 }) == .reset(1, noError))
      // A client that has ended gets none.
      try await peer.call(3, "/t.Probe/Echo", messages: [[8]])
      _ = try await peer.response(3)
      try await peer.send(.ping([1, 2, 3, 4, 5, 6, 7, 8]))
      let next = try await peer.next(where: {
        $0 == .ping([1, 2, 3, 4, 5, 6, 7, 8], ack: true) || $0.stream == 3
      })
      #expect(next?.stream == 0)
    }
  }

  @Test("a deadline is kept by the server: status 4 in trailers, then RST_STREAM NO_ERROR")
  func deadline() async throws {
    let probe = ProbeService()
    try await withServer([probe]) { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      let timeout = ScriptedHeader("grpc-timeout", "50m")
      try await peer.call(1, "/t.Probe/Chat", [timeout], messages: [[8]], end: false)
      let response = try await peer.response(1)
      #expect(response.status == 4 && response.reset == nil)
      #expect(try await peer.next(where: { $0.stream == 1 }) == .reset(1, noError))
      #expect(try await holds { probe.cancelled.load(ordering: .relaxed) == 1 })
      // A client that does not read its messages cannot get trailers behind them.
      try await peer.call(3, "/t.Probe/Flood", [timeout], messages: [[8]])
      #expect(try await peer.response(3).reset == cancel)
      #expect(try await holds { probe.cancelled.load(ordering: .relaxed) == 2 })
      await peer.close()
    }
  }

  @Test("RST_STREAM, and the end of the connection, cancel the handlers")
  func cancellation() async throws {
    let probe = ProbeService()
    try await withServer([probe]) { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      try await peer.call(1, "/t.Probe/Chat", messages: [[1]], end: false)
      #expect(try await peer.message(on: 1) == [1])
      try await peer.send(.reset(1, cancel))
      #expect(try await holds { probe.cancelled.load(ordering: .relaxed) == 1 })
      try await peer.call(3, "/t.Probe/Chat", messages: [[1]], end: false)
      #expect(try await peer.message(on: 3) == [1])
      await peer.close()
      #expect(try await holds { probe.cancelled.load(ordering: .relaxed) == 2 })
    }
  }

  @Test("PING comes back with the same eight bytes")
  func ping() async throws {
    try await withServer { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      try await peer.send(.ping([8, 7, 6, 5, 4, 3, 2, 1]))
      let answer = try await peer.next(where: { if case .ping = $0 { true } else { false } })
      #expect(answer == .ping([8, 7, 6, 5, 4, 3, 2, 1], ack: true))
    }
  }

  @Test("a reply over the send limit, or too many headers, end the call with a status")
  func oversize() async throws {
    var options = ServerOptions()
    options.maxSendMessageSize = 10
    try await withServer(options: options) { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      try await peer.call(1, "/t.Probe/Echo", messages: [[UInt8](repeating: 1, count: 11)])
      #expect(try await peer.response(1).status == 8)
      for (stream, method) in [(Int32(3), "Trailing"), (5, "Initial")] {
        try await peer.call(stream, "/t.Probe/\(method)", messages: [[1, 0x86, 0xa0]])
        #expect(try await peer.response(stream).status == 8, "\(method)")
      }
      // A long story is cut, and the status arrives.
      let diagnostics = ScriptedPeer.message([UInt8(9)] + [UInt8](repeating: 65, count: 100_000))
      try await peer.send(.headers(7, ScriptedPeer.request("/t.Probe/Fail")))
      for start in stride(from: 0, to: diagnostics.count, by: 10_000) {
        try await peer.send(.data(7, Array(diagnostics[start...].prefix(10_000))))
      }
      try await peer.send(.data(7, [], endStream: true))
      let response = try await peer.response(7)
      #expect(response.status == 9)
      #expect(response.message?.hasPrefix("AAAA") == true)
      try await peer.call(9, "/t.Probe/Echo", messages: [[1]])
      #expect(try await peer.response(9).status == 0)
    }
  }

  @Test("a stop says GOAWAY in two steps; calls under way finish, then the connection ends")
  func goAway() async throws {
    try await withServer { server, port in
      let peer = try await ScriptedPeer.connect(port: port)
      try await peer.call(1, "/t.Probe/Chat", messages: [[1]], end: false)
      #expect(try await peer.message(on: 1) == [1])
      server.shutDown()
      let isGoAway: @Sendable (ScriptedFrame) -> Bool = {
        if case .goAway = $0 { true } else { false }
      }
      #expect(try await peer.next(where: isGoAway) == .goAway(lastStream: .max, code: 0))
      // On its way when GOAWAY came: still served, if it is there before the PING's answer was.
      #expect(try await peer.next(where: isGoAway) == .goAway(lastStream: 1, code: 0))
      try await peer.send(.data(1, ScriptedPeer.message([2]), endStream: true))
      let response = try await peer.response(1)
      #expect(response.messages == [[2]] && response.status == 0)
      _ = try await peer.rest()
    }
  }
}
