// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkTesting
import Trunkcall

/// Something that a server must not do to a call that it has received, and what the call comes to.
struct Misbehaviour: Sendable, CustomTestStringConvertible {
  enum Damage: Sendable, Hashable {
    /// The next call goes over the same connection.
    case call
    /// The connection is given up; the client says GOAWAY with this code, if it still can.
    case connection(UInt32?)
  }

  var rule: String
  var frames: @Sendable (Int32) -> [ScriptedFrame]
  var code: RPCError.Code?
  var damage: Damage

  init(
    _ rule: String, _ code: RPCError.Code?, _ damage: Damage,
    _ frames: @escaping @Sendable (Int32) -> [ScriptedFrame]
  ) {
    self.rule = rule
    self.frames = frames
    self.code = code
    self.damage = damage
  }

  /// A frame that no connection survives.
  init(
    _ rule: String, goAway: UInt32, type: UInt8, flags: UInt8 = 0, on stream: Int32? = 0,
    _ payload: [UInt8]
  ) {
    self.init(rule, .internal, .connection(goAway)) {
      [.raw(type: type, flags: flags, stream: stream ?? $0, payload: payload)]
    }
  }

  var testDescription: String { rule }

  static let timeout: Duration = .seconds(5)

  func check() async throws {
    try await withScriptedServer { channel, listener in
      let options = CallOptions(timeout: Misbehaviour.timeout)
      let clock = ContinuousClock()
      let start = clock.now
      async let outcome = failure {
        let reply = try await channel.unary(method("M"), [1], options)
        #expect(reply == [65])
      }
      let peer = try await listener.accept()
      let request = try #require(try await peer.request())
      // A client that has hung up by then takes no more.
      try? await peer.send(frames(request.stream))
      let error = await outcome
      #expect(error?.code == code, "\(String(describing: error))")
      #expect(clock.now - start < Misbehaviour.timeout, "it did not take the deadline to notice")
      async let second = channel.unary(method("M"), [2], CallOptions(timeout: .seconds(20)))
      var next = peer
      if case .connection(let goAway) = damage {
        let last = try await peer.rest()
        if let goAway {
          let sent = last.compactMap { if case .goAway(_, let code, _) = $0 { code } else { nil } }
          #expect(sent == [goAway], "\(error?.message ?? "")")
        }
        next = try await listener.accept()
      }
      let again = try #require(try await next.request())
      try await next.answer(again.stream, messages: [[42]])
      #expect(try await second == [42])
    }
  }
}

private let good = ScriptedPeer.responseHead()
private let a = ScriptedPeer.message([65])
private let protocolError: UInt32 = 1
private let flowControlError: UInt32 = 3
private let frameSizeError: UInt32 = 6
private let compressionError: UInt32 = 9

@Suite("5.2: servers that misbehave", .timeLimit(.minutes(5)))
struct MisbehavingServerTests {
  static let resets: [Misbehaviour] = [
    Misbehaviour("rst_after_header", .internal, .call) { [.headers($0, good), .reset($0, 0)] },
    Misbehaviour("rst_during_data", .internal, .call) {
      [.headers($0, good), .data($0, [0, 0, 0, 0, 9, 1, 2, 3]), .reset($0, 0)]
    },
    Misbehaviour("rst_after_data", .internal, .call) {
      [.headers($0, good), .data($0, a), .reset($0, 0)]
    },
    Misbehaviour("frames behind the end of a call are ignored", nil, .call) {
      ScriptedPeer.response($0, messages: [[65]]) + [.windowUpdate($0, 5), .reset($0, 8)]
    },
  ]

  static let harmless: [Misbehaviour] = [
    Misbehaviour("frames of unknown types are ignored", nil, .call) {
      [
        .raw(type: 0xee, flags: 0xff, stream: 0, payload: [1, 2]),
        .raw(type: 0xbb, flags: 0, stream: $0, payload: []),
      ]
        + ScriptedPeer.response($0, messages: [[65]])
    },
    Misbehaviour("unknown settings are ignored", nil, .call) {
      [.settings([ScriptedSetting(0xabcd, 7)])] + ScriptedPeer.response($0, messages: [[65]])
    },
    Misbehaviour("PRIORITY is ignored", nil, .call) { stream in
      (0..<50).map { _ in .raw(type: 2, flags: 0, stream: stream, payload: [0, 0, 0, 0, 1]) }
        + ScriptedPeer.response(stream, messages: [[65]])
    },
    Misbehaviour("a reserved bit in a stream id is ignored", nil, .call) {
      [.headers($0 | .min, good), .data($0 | .min, a)]
        + [.headers($0, ScriptedPeer.trailers("0"), endStream: true)]
    },
    Misbehaviour("a stream's window above 2^31-1 ends the stream alone", .internal, .call) {
      [.headers($0, good), .windowUpdate($0, 0x7fff_ffff)]
    },
  ]

  static let wrongFrames: [Misbehaviour] = [
    Misbehaviour("DATA on stream 0", goAway: protocolError, type: 0, [1]),
    Misbehaviour(
      "DATA on a stream that was never opened", goAway: protocolError, type: 0, on: 99, [1]),
    Misbehaviour("DATA before headers", goAway: protocolError, type: 0, on: nil, a),
    Misbehaviour(
      "padding longer than its frame", goAway: protocolError, type: 0, flags: 8, on: nil, [9, 1]),
    Misbehaviour(
      "HEADERS on stream 0", goAway: protocolError, type: 1, flags: 4, ScriptedFrame.block(good)),
    Misbehaviour(
      "HEADERS on a stream of the server's", goAway: protocolError, type: 1, flags: 4, on: 2,
      ScriptedFrame.block(good)),
    Misbehaviour(
      "HEADERS on a stream that was never opened", goAway: protocolError, type: 1, flags: 4, on: 99,
      ScriptedFrame.block(good)),
    Misbehaviour("RST_STREAM on stream 0", goAway: protocolError, type: 3, [0, 0, 0, 8]),
    Misbehaviour(
      "RST_STREAM on an idle stream", goAway: protocolError, type: 3, on: 99, [0, 0, 0, 8]),
    Misbehaviour("RST_STREAM of three bytes", goAway: frameSizeError, type: 3, on: nil, [0, 0, 8]),
    Misbehaviour("SETTINGS of five bytes", goAway: frameSizeError, type: 4, [0, 3, 0, 0, 1]),
    Misbehaviour("SETTINGS on a stream", goAway: protocolError, type: 4, on: nil, []),
    Misbehaviour(
      "SETTINGS ACK with a payload", goAway: frameSizeError, type: 4, flags: 1, [0, 3, 0, 0, 0, 1]),
    Misbehaviour("SETTINGS with push on", goAway: protocolError, type: 4, [0, 2, 0, 0, 0, 1]),
    Misbehaviour(
      "SETTINGS with a window above 2^31-1", goAway: flowControlError, type: 4,
      [0, 4, 0x80, 0, 0, 0]),
    Misbehaviour(
      "SETTINGS with frames of one byte", goAway: protocolError, type: 4, [0, 5, 0, 0, 0, 1]),
    Misbehaviour(
      "PUSH_PROMISE though push is off", goAway: protocolError, type: 5, flags: 4, on: nil,
      [0, 0, 0, 2]),
    Misbehaviour("PING of seven bytes", goAway: frameSizeError, type: 6, [1, 2, 3, 4, 5, 6, 7]),
    Misbehaviour(
      "PING on a stream", goAway: protocolError, type: 6, on: nil, [1, 2, 3, 4, 5, 6, 7, 8]),
    Misbehaviour("GOAWAY of four bytes", goAway: frameSizeError, type: 7, [0, 0, 0, 1]),
    Misbehaviour(
      "GOAWAY on a stream", goAway: protocolError, type: 7, on: nil, [0, 0, 0, 1, 0, 0, 0, 0]),
    Misbehaviour(
      "GOAWAY with a last stream of the server's own", goAway: protocolError, type: 7,
      [0, 0, 0, 2, 0, 0, 0, 0]),
    // RFC 9113 §6.9 asks for a stream error; nghttp2 1.52 gives up the connection.
    Misbehaviour(
      "WINDOW_UPDATE of 0 on a stream", goAway: protocolError, type: 8, on: nil, [0, 0, 0, 0]),
    Misbehaviour(
      "WINDOW_UPDATE of 0 on the connection", goAway: protocolError, type: 8, [0, 0, 0, 0]),
    Misbehaviour(
      "a connection's window above 2^31-1", goAway: flowControlError, type: 8,
      [0x7f, 0xff, 0xff, 0xff]),
    Misbehaviour("WINDOW_UPDATE of three bytes", goAway: frameSizeError, type: 8, [0, 0, 1]),
    Misbehaviour(
      "WINDOW_UPDATE on an idle stream", goAway: protocolError, type: 8, on: 99, [0, 0, 0, 1]),
    Misbehaviour(
      "CONTINUATION without HEADERS", goAway: protocolError, type: 9, flags: 4, on: nil, [0x88]),
    Misbehaviour("HEADERS that DATA interrupts", .internal, .connection(protocolError)) {
      [.raw(type: 1, flags: 0, stream: $0, payload: [0x88]), .data($0, a)]
    },
    Misbehaviour(
      "a frame above the size that was allowed", goAway: frameSizeError, type: 0, on: nil,
      [UInt8](repeating: 0, count: 16_385)),
    Misbehaviour("text instead of frames", .internal, .connection(frameSizeError)) { _ in
      [
        .raw(
          type: 0x50, flags: 0x2f, stream: 0x312e_3120,
          payload: [UInt8](repeating: 52, count: 0x4854))
      ]
    },
  ]

  static let badHPACK: [Misbehaviour] =
    ([
      ("index 0", [0x80]), ("an index beyond the tables", [0xff, 0xff, 0x7f]),
      ("an index that overflows", [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
      ("a length beyond the block", [0x00, 0x05, 0x61]),
      ("a Huffman code that does not end", [0x00, 0x81, 0xff]),
      ("Huffman padding that is too long", [0x00, 0x82, 0x1f, 0xff, 0x00]),
      ("a table size above what was allowed", [0x3f, 0xe1, 0xff, 0x7f]),
      ("a table size behind a field", [0x88, 0x20]),
    ] as [(String, [UInt8])]).map { name, block in
      Misbehaviour(
        "HPACK: \(name)", goAway: compressionError, type: 1, flags: 4, on: nil, block)
    }

  @Test(
    "each wrong frame is the status that is documented, in no time, and the channel goes on",
    arguments: [resets, harmless, wrongFrames, badHPACK].flatMap(\.self))
  func frames(_ row: Misbehaviour) async throws { try await row.check() }

  @Test(
    "a connection lost before, in the middle of and behind an answer is UNAVAILABLE",
    arguments: [
      [], [.headers(1, good)], [.headers(1, good), .data(1, [0, 0, 0, 0, 9, 1])],
      [.headers(1, good), .data(1, a)], [.raw(type: 1, flags: 0, stream: 1, payload: [0x88])],
    ] as [[ScriptedFrame]])
  func lost(frames: [ScriptedFrame]) async throws {
    try await withScriptedServer { channel, listener in
      async let outcome = failure { _ = try await channel.unary(method("M"), [1]) }
      let peer = try await listener.accept()
      let request = try #require(try await peer.request())
      #expect(request.stream == 1)
      try await peer.send(frames)
      await peer.close()
      #expect(await outcome?.code == .unavailable)
      async let second = channel.unary(method("M"), [2])
      let next = try await listener.accept()
      try await next.answer(try #require(try await next.request()).stream, messages: [[42]])
      #expect(try await second == [42])
    }
  }

  @Test(
    "a server that stops in the middle costs a call its deadline and no more",
    arguments: [
      [], [.headers(1, good)], [.headers(1, good), .data(1, [0, 0, 0, 0, 9, 1])],
      [.headers(1, good), .data(1, a)], [.raw(type: 1, flags: 0, stream: 1, payload: [0x88])],
      [.settings([.initialWindowSize(0)]), .headers(1, good)],
    ] as [[ScriptedFrame]])
  func halfOpen(frames: [ScriptedFrame]) async throws {
    try await withScriptedServer { channel, listener in
      let clock = ContinuousClock()
      // Connected beforehand, or a busy machine has the deadline pass on the way.
      channel.connect()
      let peer = try await listener.accept(answersByItself: false)
      try await channel.ready(within: .seconds(20))
      async let outcome = failure {
        _ = try await channel.unary(method("M"), [1], CallOptions(timeout: .milliseconds(400)))
      }
      _ = try #require(try await peer.request())
      let start = clock.now
      try await peer.send(frames)
      #expect(await outcome?.code == .deadlineExceeded)
      #expect(clock.now - start < .seconds(8))
      guard frames.isEmpty else { return await peer.close() }
      // The silence is noticed: asked by a PING, then given up for a new connection.
      let isPing: @Sendable (ScriptedFrame) -> Bool = { if case .ping = $0 { true } else { false } }
      #expect(try await peer.next(where: isPing) != nil)
      _ = try await peer.rest()
      async let second = channel.unary(method("M"), [2], CallOptions(timeout: .seconds(20)))
      let next = try await listener.accept()
      try await next.answer(try #require(try await next.request()).stream, messages: [[42]])
      #expect(try await second == [42])
    }
  }

  @Test("endless headers end the connection, not the client")
  func endlessHeaders() async throws {
    try await withScriptedServer { channel, listener in
      async let outcome = failure {
        _ = try await channel.unary(method("M"), [1], CallOptions(timeout: .seconds(20)))
      }
      let peer = try await listener.accept()
      let request = try #require(try await peer.request())
      let fields = (0..<2_000).map { ScriptedHeader("x-\($0)", "y") }
      try? await peer.send(
        ScriptedFrame.fragments(request.stream, good + fields, of: 20, ends: false))
      #expect(await outcome?.code == .internal)
      _ = try await peer.rest()
    }
  }

  @Test("a header block above nghttp2's 64 KiB fails, and the channel goes on")
  func hugeHeaders() async throws {
    try await withScriptedServer { channel, listener in
      async let outcome = failure {
        _ = try await channel.unary(method("M"), [1], CallOptions(timeout: .seconds(20)))
      }
      let peer = try await listener.accept()
      let request = try #require(try await peer.request())
      let value = String(repeating: "y", count: 90_000)
      try? await peer.send(
        ScriptedFrame.fragments(request.stream, good + [ScriptedHeader("x", value)], of: 16_000))
      let error = await outcome
      #expect(
        error?.code == .internal || error?.code == .resourceExhausted,
        "\(String(describing: error))")
    }
  }

  @Test("a PING flood is answered, and the call among it as well")
  func pings() async throws {
    try await withScriptedServer { channel, listener in
      async let reply = channel.unary(method("M"), [1], CallOptions(timeout: .seconds(30)))
      let peer = try await listener.accept()
      let request = try #require(try await peer.request())
      let burst = (0..<500).map {
        ScriptedFrame.ping([UInt8](repeating: UInt8($0 & 255), count: 8))
      }
      var answered = 0
      for _ in 0..<20 {
        try await peer.send(burst)
        for _ in 0..<500 {
          let ack = try await peer.next(where: { if case .ping = $0 { true } else { false } })
          if case .ping(_, true)? = ack { answered += 1 }
        }
      }
      #expect(answered == 10_000)
      try await peer.answer(request.stream, messages: [[65]])
      #expect(try await reply == [65])
    }
  }

  @Test("a PING flood whose answers are not read ends the connection; memory stays bounded")
  func pingsUnread() async throws {
    try await withScriptedServer { channel, listener in
      let outcome = Task {
        await failure {
          _ = try await channel.unary(method("M"), [1], CallOptions(timeout: .seconds(30)))
        }
      }
      let peer = try await listener.accept()
      _ = try #require(try await peer.request())
      let burst = [UInt8](
        (0..<4_000).flatMap { _ in ScriptedFrame.ping([0, 0, 0, 0, 0, 0, 0, 0]).bytes })
      // 17 bytes in, 17 bytes out: until the kernel's buffers are full and the client gives up.
      for _ in 0..<600 {
        do { try await peer.send(raw: burst) } catch { break }
      }
      let error = await outcome.value
      #expect(
        error?.code == .internal || error?.code == .unavailable, "\(String(describing: error))")
    }
  }

  @Test("MAX_CONCURRENT_STREAMS 1: ten calls at once all succeed, one after the other")
  func maxStreams() async throws {
    try await withScriptedServer { channel, listener in
      let serving = Task {
        let peer = try await listener.accept(settings: [.maxConcurrentStreams(1)])
        for _ in 0..<11 {
          let request = try #require(try await peer.request())
          // Nobody else is there before this one has its answer.
          try await peer.send(.ping([0, 0, 0, 0, 0, 0, 0, 7]))
          let next = try await peer.next(where: { frame in
            switch frame {
            case .headers, .ping(_, true): true
            default: false
            }
          })
          guard case .ping? = next else {
            Issue.record("a second stream is open: \(String(describing: next))")
            return
          }
          try await peer.answer(request.stream, messages: [request.messages[0]])
        }
      }
      let options = CallOptions(timeout: .seconds(30))
      let first = try await channel.unary(method("M"), [99], options)
      #expect(first == [99])
      try await withThrowingTaskGroup(of: Void.self) { group in
        for index in 0..<10 as Range<UInt8> {
          group.addTask {
            let reply = try await channel.unary(method("M"), [index], options)
            #expect(reply == [index])
          }
        }
        try await group.waitForAll()
      }
      try await serving.value
    }
  }

  @Test("MAX_CONCURRENT_STREAMS 0 holds calls until it is raised, or their deadline")
  func noStreams() async throws {
    try await withScriptedServer { channel, listener in
      async let late = failure {
        _ = try await channel.unary(method("M"), [1], CallOptions(timeout: .milliseconds(300)))
      }
      async let reply = channel.unary(method("M"), [2], CallOptions(timeout: .seconds(30)))
      let peer = try await listener.accept(settings: [.maxConcurrentStreams(0)])
      #expect(await late?.code == .deadlineExceeded)
      try await peer.send(.settings([.maxConcurrentStreams(1)]))
      let request = try #require(try await peer.request())
      #expect(request.messages == [[2]])
      try await peer.answer(request.stream, messages: [[3]])
      #expect(try await reply == [3])
    }
  }

  @Test(
    "data_frame_padding: messages in 5-byte frames with 255 bytes of padding, and without",
    arguments: [255, nil] as [UInt8?])
  func padding(padding: UInt8?) async throws {
    try await withScriptedServer { channel, listener in
      async let reply = channel.unary(method("M"), [1], CallOptions(timeout: .seconds(60)))
      let peer = try await listener.accept()
      let stream = try #require(try await peer.request()).stream
      let sent = [UInt8]((0..<30_000).map { UInt8(truncatingIfNeeded: $0) })
      let bytes = ScriptedPeer.message(sent)
      try await peer.send(.headers(stream, good))
      // Three times the stream's window of 1 MiB, padding included.
      let size = padding.map { Int($0) + 6 } ?? 5
      var credit = 1 << 20
      for start in stride(from: 0, to: bytes.count, by: 5) {
        while credit < size {
          let update = try await peer.next(where: { frame in
            if case .windowUpdate(stream, _) = frame { true } else { false }
          })
          guard case .windowUpdate(_, let count)? = update else {
            Issue.record("no more credit")
            return
          }
          credit += Int(count)
        }
        credit -= size
        let part = Array(bytes[start..<min(start + 5, bytes.count)])
        try await peer.send(
          padding.map { .padded(stream, part, padding: $0) } ?? .data(stream, part))
      }
      try await peer.send(.headers(stream, ScriptedPeer.trailers("0"), endStream: true))
      #expect(try await reply == sent)
    }
  }

  @Test("DATA beyond the window that was given is a flow-control violation: INTERNAL")
  func window() async throws {
    try await withScriptedServer { channel, listener in
      async let opened = channel.serverStreaming(
        method("M"), [1], CallOptions(timeout: .seconds(30)))
      let peer = try await listener.accept()
      let stream = try #require(try await peer.request()).stream
      try await peer.send(.headers(stream, good))
      // Nobody reads: the window is 1 MiB.
      let call = try await opened
      let message = ScriptedPeer.message([UInt8](repeating: 1, count: 16_000))
      for _ in 0..<80 { try await peer.send(.data(stream, message)) }
      #expect(
        try await peer.next(where: { $0.stream == stream }) == .reset(stream, flowControlError))
      let error = await failure { for try await _ in call {} }
      #expect(error?.code == .internal, "\(String(describing: error))")
    }
  }
}
