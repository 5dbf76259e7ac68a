// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Synchronization
import Testing
import TrunkTesting
import Trunkcall

/// Frames that a client must not send while its call on stream 1 is open.
struct BrokenFrame: Sendable, CustomTestStringConvertible {
  enum Answer: Sendable {
    /// The connection goes on without the stream.
    case reset(Int32, UInt32)
    /// The connection ends.
    case goAway(UInt32)
    /// Nothing happens.
    case nothing
  }

  var rule: String
  var frames: [ScriptedFrame]
  var answer: Answer

  init(_ rule: String, _ answer: Answer, _ frames: ScriptedFrame...) {
    self.rule = rule
    self.frames = frames
    self.answer = answer
  }

  init(
    _ rule: String, _ answer: Answer, type: UInt8, flags: UInt8 = 0, on stream: Int32 = 0,
    _ payload: [UInt8]
  ) {
    self.init(rule, answer, .raw(type: type, flags: flags, stream: stream, payload: payload))
  }

  var testDescription: String { rule }
}

private let head = ScriptedPeer.request("/t.Probe/Chat")
private let protocolError: UInt32 = 1
private let flowControlError: UInt32 = 3
private let streamClosed: UInt32 = 5
private let frameSizeError: UInt32 = 6
private let refusedStream: UInt32 = 7
private let compressionError: UInt32 = 9

@Suite("5.2: clients that misbehave", .timeLimit(.minutes(2)))
struct MisbehavingClientTests {
  static let rows: [BrokenFrame] = [
    BrokenFrame("DATA on stream 0", .goAway(protocolError), .data(0, [1])),
    BrokenFrame("DATA on an idle stream", .goAway(protocolError), .data(9, [1])),
    BrokenFrame(
      "padding longer than its frame", .goAway(protocolError), type: 0, flags: 8, on: 1, [9, 1]),
    BrokenFrame("HEADERS on stream 0", .goAway(protocolError), .headers(0, head)),
    BrokenFrame("HEADERS on an even stream", .goAway(protocolError), .headers(2, head)),
    BrokenFrame(
      "a second header block without an end", .reset(1, protocolError), .headers(1, head)),
    BrokenFrame(
      "a pseudo-header in trailers", .reset(1, protocolError),
      .headers(1, [ScriptedHeader(":path", "/x")], endStream: true)),
    BrokenFrame("RST_STREAM on stream 0", .goAway(protocolError), .reset(0, 8)),
    BrokenFrame("RST_STREAM on an idle stream", .goAway(protocolError), .reset(9, 8)),
    BrokenFrame("RST_STREAM of three bytes", .goAway(frameSizeError), type: 3, on: 1, [0, 0, 8]),
    BrokenFrame("PRIORITY of four bytes", .goAway(frameSizeError), type: 2, on: 1, [0, 0, 0, 0]),
    BrokenFrame("SETTINGS of five bytes", .goAway(frameSizeError), type: 4, [0, 3, 0, 0, 1]),
    BrokenFrame("SETTINGS on a stream", .goAway(protocolError), type: 4, on: 1, []),
    BrokenFrame(
      "SETTINGS ACK with a payload", .goAway(frameSizeError), type: 4, flags: 1, [0, 3, 0, 0, 0, 1]),
    BrokenFrame(
      "SETTINGS with push neither on nor off", .goAway(protocolError), .settings([.enablePush(2)])),
    BrokenFrame(
      "SETTINGS with a window above 2^31-1", .goAway(flowControlError),
      .settings([.initialWindowSize(1 << 31)])),
    BrokenFrame(
      "SETTINGS with frames of one byte", .goAway(protocolError), .settings([.maxFrameSize(1)])),
    BrokenFrame(
      "PUSH_PROMISE from a client", .goAway(protocolError), type: 5, flags: 4, on: 1, [0, 0, 0, 2]),
    BrokenFrame("PING of seven bytes", .goAway(frameSizeError), .ping([1, 2, 3, 4, 5, 6, 7])),
    BrokenFrame(
      "PING on a stream", .goAway(protocolError), type: 6, on: 1, [1, 2, 3, 4, 5, 6, 7, 8]),
    BrokenFrame("GOAWAY of four bytes", .goAway(frameSizeError), type: 7, [0, 0, 0, 1]),
    BrokenFrame(
      "GOAWAY on a stream", .goAway(protocolError), type: 7, on: 1, [0, 0, 0, 1, 0, 0, 0, 0]),
    BrokenFrame("WINDOW_UPDATE of 0", .goAway(protocolError), .windowUpdate(0, 0)),
    BrokenFrame("WINDOW_UPDATE of three bytes", .goAway(frameSizeError), type: 8, [0, 0, 1]),
    BrokenFrame("WINDOW_UPDATE on an idle stream", .goAway(protocolError), .windowUpdate(9, 1)),
    BrokenFrame(
      "a connection's window above 2^31-1", .goAway(flowControlError), .windowUpdate(0, 0x7fff_ffff)
    ),
    BrokenFrame(
      "a stream's window above 2^31-1", .reset(1, flowControlError), .windowUpdate(1, 0x7fff_ffff)),
    BrokenFrame(
      "CONTINUATION without HEADERS", .goAway(protocolError), type: 9, flags: 4, on: 1, [0x83]),
    BrokenFrame(
      "HEADERS that PING interrupts", .goAway(protocolError),
      .raw(type: 1, flags: 0, stream: 3, payload: [0x83]), .ping([1, 2, 3, 4, 5, 6, 7, 8])),
    BrokenFrame(
      "a frame above the size that was allowed", .goAway(frameSizeError),
      .data(1, [UInt8](repeating: 0, count: 16_385))),
    BrokenFrame("HPACK: index 0", .goAway(compressionError), type: 1, flags: 5, on: 3, [0x80]),
    BrokenFrame(
      "HPACK: a length beyond the block", .goAway(compressionError), type: 1, flags: 5, on: 3,
      [0, 5, 97]),
    BrokenFrame(
      "HPACK: a table size above what was allowed", .goAway(compressionError), type: 1, flags: 5,
      on: 3, [0x3f, 0xe1, 0xff, 0x7f]),
    BrokenFrame(
      "HEADERS on a lower stream than before", .goAway(protocolError),
      .headers(5, head, endStream: true), .headers(3, head)),
    BrokenFrame("frames of unknown types", .nothing, type: 0xee, flags: 0xff, on: 1, [1, 2]),
    BrokenFrame("unknown settings", .nothing, .settings([ScriptedSetting(0xabcd, 7)])),
    BrokenFrame("PRIORITY", .nothing, type: 2, on: 1, [0, 0, 0, 0, 1]),
    BrokenFrame(
      "WINDOW_UPDATE on a stream that has ended", .nothing, .reset(1, 8), .windowUpdate(1, 9)),
  ]

  @Test(
    "each broken frame of a client ends its stream or its connection, and others are served",
    arguments: rows)
  func frames(_ row: BrokenFrame) async throws {
    let probe = ProbeService()
    try await withServer([probe]) { server, port in
      let neighbour = try await ScriptedPeer.connect(port: port)
      try await neighbour.call(1, "/t.Probe/Chat", messages: [[1]], end: false)
      #expect(try await neighbour.message(on: 1) == [1])

      let peer = try await ScriptedPeer.connect(port: port)
      try await peer.call(1, "/t.Probe/Chat", messages: [[1]], end: false)
      #expect(try await peer.message(on: 1) == [1])
      try await peer.send(row.frames)
      switch row.answer {
      case .reset(let stream, let code):
        #expect(try await peer.next(where: { $0.stream == stream }) == .reset(stream, code))
        try await peer.call(7, "/t.Probe/Echo", messages: [[7]])
        #expect(try await peer.response(7).messages == [[7]])
      case .goAway(let code):
        let codes = try await peer.rest().compactMap { frame in
          if case .goAway(_, let code, _) = frame { code } else { nil }
        }
        #expect(codes == [code])
        #expect(try await holds { probe.cancelled.load(ordering: .relaxed) >= 1 })
        #expect(try await holds { server.statistics.connections == 1 })
      case .nothing:
        try await peer.call(7, "/t.Probe/Echo", messages: [[7]])
        #expect(try await peer.response(7).messages == [[7]])
      }
      await peer.close()
      #expect(try await holds { probe.cancelled.load(ordering: .relaxed) == 1 })

      try await neighbour.send(.data(1, ScriptedPeer.message([2]), endStream: true))
      let response = try await neighbour.response(1)
      #expect(response.messages == [[2]] && response.status == 0)
    }
  }

  @Test("PRIORITY on stream 0 is a connection error (RFC 9113 §6.3)")
  func priorityOnConnection() async throws {
    try await withServer { _, port in
      for stream in [0, Int32.min] {
        let peer = try await ScriptedPeer.connect(port: port)
        try await peer.send(.raw(type: 2, flags: 0, stream: stream, payload: [0, 0, 0, 1, 9]))
        let last = try await peer.rest()
        #expect(
          last.contains { if case .goAway(_, protocolError, _) = $0 { true } else { false } })
      }
      let other = try await ScriptedPeer.connect(port: port)
      try await other.send(.raw(type: 2, flags: 0, stream: 1, payload: [0, 0, 0, 0, 9]))
      try await other.call(3, "/t.Probe/Echo", messages: [[7]])
      #expect(try await other.response(3).messages == [[7]])
    }
  }

  @Test(
    "a client that has not acknowledged the limit yet may open 1,024 streams, no more; all are served"
  )
  func streamsBeforeSettings() async throws {
    for count in [300, 1_025] {
      try await withServer { _, port in
        let peer = try await ScriptedPeer.connect(port: port, answersByItself: false)
        let ids = (0..<count).map { Int32(2 * $0 + 1) }
        for id in ids { try await peer.send(.headers(id, ScriptedPeer.request("/t.Probe/Echo"))) }
        for id in ids.prefix(1_024) {
          try await peer.send(.data(id, ScriptedPeer.message([1]), endStream: true))
        }
        if count > 1_024 {
          let last = ids[1_024]
          #expect(try await peer.next(where: { $0.stream == last }) == .reset(last, refusedStream))
        } else {
          for id in ids { #expect(try await peer.response(id).status == 0) }
        }
        await peer.close()
      }
    }
  }

  @Test("streams above MAX_CONCURRENT_STREAMS are served before it is known, and reset after that")
  func tooManyStreams() async throws {
    var options = ServerOptions()
    options.maxConcurrentStreams = 2
    try await withServer(options: options) { _, port in
      for acknowledges in [false, true] {
        let peer = try await ScriptedPeer.connect(port: port, answersByItself: acknowledges)
        for stream in [1, 3] as [Int32] {
          try await peer.call(stream, "/t.Probe/Chat", messages: [[1]], end: false)
          #expect(try await peer.message(on: stream) == [1])
        }
        try await peer.send(.headers(5, head))
        if acknowledges {
          #expect(try await peer.next(where: { $0.stream == 5 }) == .reset(5, protocolError))
        } else {
          try await peer.send(.data(5, ScriptedPeer.message([5]), endStream: true))
          #expect(try await peer.response(5).messages == [[5]])
        }
        for stream in [1, 3] as [Int32] {
          try await peer.send(.data(stream, [], endStream: true))
          #expect(try await peer.response(stream).status == 0)
        }
      }
    }
  }

  @Test("DATA beyond a stream's window costs the stream, and no more memory than the window")
  func window() async throws {
    let probe = ProbeService()
    try await withServer([probe]) { server, port in
      let peer = try await ScriptedPeer.connect(port: port)
      try await peer.call(1, "/t.Probe/Ignore", end: false)
      let message = ScriptedPeer.message([UInt8](repeating: 0, count: 16_000))
      for _ in 0..<80 { try await peer.send(.data(1, message)) }
      #expect(try await peer.next(where: { $0.stream == 1 }) == .reset(1, flowControlError))
      #expect(try await holds { probe.cancelled.load(ordering: .relaxed) == 1 })
      try await peer.call(3, "/t.Probe/Echo", messages: [[7]])
      #expect(try await peer.response(3).messages == [[7]])
    }
  }
}
