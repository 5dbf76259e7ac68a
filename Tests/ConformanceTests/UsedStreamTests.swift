// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkTesting
import Trunkcall

/// A frame on stream 3, in a state of that stream, and what becomes of the connection.
struct LateFrame: Sendable, CustomTestStringConvertible {
  enum State: String, Sendable, CaseIterable {
    /// The client has ended the request, the server has answered.
    case closed
    /// The client has reset it.
    case resetByClient
    /// The client has ended the request, which runs.
    case halfClosed
    /// The server has ended it before the client, with RST_STREAM.
    case resetByServer
    /// Stream 5 was opened before it.
    case passedOver
    /// No stream was opened yet.
    case idle
  }
  enum Kind: String, Sendable, CaseIterable {
    case headers = "HEADERS"
    case data = "DATA"
    case reset = "RST_STREAM"
    case windowUpdate = "WINDOW_UPDATE"
    case priority = "PRIORITY"
    case continuation = "CONTINUATION"
  }

  var state: State
  var kind: Kind

  static let all = State.allCases.flatMap { state in
    Kind.allCases.map { LateFrame(state: state, kind: $0) }
  }

  /// The code of the GOAWAY; nil: the connection goes on.
  var goAway: UInt32? {
    let protocolError: UInt32 = 1
    let streamClosed: UInt32 = 5
    return switch (kind, state) {
    case (.continuation, _): protocolError
    case (.priority, _): nil
    case (.headers, .idle): nil
    case (_, .idle): protocolError
    case (.windowUpdate, _), (.reset, _): nil
    case (_, .closed), (_, .resetByClient), (_, .halfClosed): streamClosed
    case (_, .resetByServer): nil
    case (_, .passedOver): protocolError
    }
  }

  var frame: ScriptedFrame {
    switch kind {
    case .headers: .headers(3, ScriptedPeer.request("/t.Probe/Echo"), endStream: true)
    case .data: .data(3, ScriptedPeer.message([9]))
    case .reset: .reset(3, 8)
    case .windowUpdate: .windowUpdate(3, 1)
    case .priority: .raw(type: 2, flags: 0, stream: 3, payload: [0, 0, 0, 0, 1])
    case .continuation: .raw(type: 9, flags: 4, stream: 3, payload: [0x83])
    }
  }

  var testDescription: String { "\(kind.rawValue), \(state.rawValue)" }
}

@Suite("Frames on streams that were used (RFC 9113 §5.1)", .timeLimit(.minutes(2)))
struct UsedStreamTests {
  @Test(
    "a frame on a stream that the client may not use any more ends the connection, what may be late is ignored",
    arguments: LateFrame.all)
  func lateFrames(_ row: LateFrame) async throws {
    try await withServer { server, port in
      let peer = try await ScriptedPeer.connect(port: port)
      switch row.state {
      case .closed:
        try await peer.call(3, "/t.Probe/Echo", messages: [[1]])
        #expect(try await peer.response(3).messages == [[1]])
      case .resetByClient:
        try await peer.call(3, "/t.Probe/Chat", messages: [[1]], end: false)
        #expect(try await peer.message(on: 3) == [1])
        try await peer.send(.reset(3, 8))
      case .halfClosed:
        try await peer.call(3, "/t.Probe/Wait", messages: [[1]])
        #expect(try await holds { server.statistics.handlersRunning == 1 })
      case .resetByServer:
        try await peer.call(3, "/t.Probe/First", messages: [[1]], end: false)
        #expect(try await peer.response(3).messages == [[1]])
        #expect(try await peer.next(where: { $0.stream == 3 }) == .reset(3, 0))
      case .passedOver:
        try await peer.call(5, "/t.Probe/Echo", messages: [[1]])
        #expect(try await peer.response(5).messages == [[1]])
      case .idle: break
      }
      try await peer.send(row.frame)
      if let code = row.goAway {
        let codes = try await peer.rest().compactMap { frame in
          if case .goAway(_, let code, _) = frame { code } else { nil }
        }
        #expect(codes == [code])
      } else {
        try await peer.call(7, "/t.Probe/Echo", messages: [[7]])
        #expect(try await peer.response(7).messages == [[7]])
      }
      await peer.close()
    }
  }

  @Test("sixteen closed streams are remembered; frames on older ones are ignored")
  func memory() async throws {
    try await withServer { _, port in
      let peer = try await ScriptedPeer.connect(port: port)
      let ids = (0..<17).map { Int32(2 * $0 + 1) }
      for id in ids {
        try await peer.call(id, "/t.Probe/Echo", messages: [[1]])
        #expect(try await peer.response(id).messages == [[1]])
      }
      try await peer.send(.data(ids[0], [1]))
      try await peer.call(101, "/t.Probe/Echo", messages: [[7]])
      #expect(try await peer.response(101).messages == [[7]])
      try await peer.send(.data(ids[1], [1]))
      let last = try await peer.rest().last { if case .goAway = $0 { true } else { false } }
      guard case .goAway(_, let code, _)? = last else {
        Issue.record("no GOAWAY")
        return
      }
      #expect(code == 5)
    }
  }
}
