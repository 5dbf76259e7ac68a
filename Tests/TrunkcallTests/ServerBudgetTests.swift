// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

import ProcessSupport
import Testing
import TrunkSockets
import TrunkTesting
import TrunkWire

@testable import Trunkcall

/// The numbers are the items of section 4 of the project's security checklist.
@Suite("Budgets of a server's connection, frame by frame", .timeLimit(.minutes(2)))
struct ServerBudgetTests {
  private typealias Peer = ScriptedPeer

  private func count(_ server: GRPCServer, _ event: ServerEvent) -> UInt64 {
    server.statistics.events[event] ?? 0
  }

  /// Another connection is served as if nothing had happened.
  private func serves(_ port: UInt16) async throws -> Bool {
    let peer = try await Peer.connect(port: port)
    try await peer.call(1, "/t.Probe/Echo", messages: [[7]])
    let response = try await peer.response(1)
    await peer.close()
    return response.status == 0 && response.messages == [[7]]
  }

  /// Floods a connection on which one call runs, until the server has had enough.
  private func attack(
    _ event: ServerEvent, _ options: ServerOptions = ServerOptions(),
    _ flood: (ScriptedPeer) async throws -> Void
  ) async throws -> ScriptedPeer.GoAway? {
    let probe = ProbeService()
    var seen: ScriptedPeer.GoAway?
    try await withServer([probe], options: options) { server, port in
      let peer = try await Peer.connect(port: port)
      try await peer.call(1, "/t.Probe/Wait", messages: [[1]])
      #expect(try await holds { server.statistics.callsStarted == 1 })
      // So that what the peer answers by itself does not come between the frames of the flood.
      _ = try await peer.next { $0 == .settingsAck }
      try await flood(peer)
      seen = try await peer.goAway()
      #expect(try await holds { server.statistics.connections == 0 })
      #expect(try await holds { server.statistics.handlersRunning == 0 }, "the call is cut off")
      #expect(count(server, event) == 1)
      #expect(try await serves(port))
    }
    return seen
  }

  @Test("1: resets that a client provokes by violations are counted (CVE-2025-8671)")
  func provokedResets() async throws {
    let end = try await attack(.tooManyProvokedResets) { peer in
      try await provoke(peer, from: 1, times: 300)
    }
    #expect(end?.code == 11 && end?.debug == "too_many_stream_errors")
  }

  /// Calls that end in FLOW_CONTROL_ERROR: the stream's window goes beyond 2^31 - 1. In batches, or
  /// the server would refuse those above its MAX_CONCURRENT_STREAMS.
  private func provoke(_ peer: ScriptedPeer, from first: Int, times: Int) async throws {
    for batch in stride(from: 0, to: times, by: 50) {
      let count = min(50, times - batch)
      await peer.flood(times: count) { turn in
        let stream = Peer.stream(first + batch + turn)
        return [
          .headers(stream, Peer.request("/t.Probe/Echo")), .windowUpdate(stream, 0x7fff_ffff),
        ]
      }
      let last = Peer.stream(first + batch + count - 1)
      guard try await peer.next(where: { $0 == .reset(last, 3) }) != nil else { return }
    }
  }

  @Test("1: two hundred of them are borne, and the connection goes on")
  func someProvokedResets() async throws {
    try await withServer([ProbeService()]) { server, port in
      let peer = try await Peer.connect(port: port)
      try await provoke(peer, from: 0, times: 190)
      try await peer.call(Peer.stream(190), "/t.Probe/Echo", messages: [[5]])
      #expect(try await peer.response(Peer.stream(190)).messages == [[5]])
      #expect(count(server, .tooManyProvokedResets) == 0)
      await peer.close()
    }
  }

  @Test("2: rapid resets end in GOAWAY when there is no end to them (CVE-2023-44487)")
  func earlyResets() async throws {
    var options = ServerOptions()
    options.abuse.earlyResets = EventRate(burst: 500, perSecond: 10)
    let end = try await attack(.tooManyEarlyResets, options) { peer in
      await peer.flood(times: 1_000) { turn in
        let stream = Peer.stream(turn + 1)
        return [.headers(stream, Peer.request("/t.Probe/Echo")), .reset(stream, 8)]
      }
    }
    #expect(end?.code == 11 && end?.debug == "too_many_resets")
  }

  @Test("2: a client that cancels running calls in good faith is never cut off")
  func goodFaithCancels() async throws {
    var options = ServerOptions()
    options.abuse.earlyResets = EventRate(burst: 10, perSecond: 1)
    let service = ProbeService()
    try await withServer([service], options: options) { server, port in
      let peer = try await Peer.connect(port: port)
      let calls = 3_000
      for batch in stride(from: 0, to: calls, by: 50) {
        for call in batch..<batch + 50 {
          try await peer.call(Peer.stream(call), "/t.Probe/Wait", messages: [[1]])
        }
        #expect(try await holds { server.statistics.callsStarted == UInt64(batch + 50) })
        await peer.flood(times: 50) { [.reset(Peer.stream(batch + $0), 8)] }
        #expect(try await holds { server.statistics.handlersRunning == 0 })
      }
      #expect(service.cancelled.withLock { $0 } == calls)
      try await peer.call(Peer.stream(calls), "/t.Probe/Echo", messages: [[5]])
      #expect(try await peer.response(Peer.stream(calls)).messages == [[5]])
      #expect(server.statistics.events[.tooManyEarlyResets] == nil)
      await peer.close()
    }
  }

  @Test(
    "3: frames that bring nothing are counted (CVE-2019-9513, 9515, 9518)",
    arguments: [
      ("empty DATA", .data(3, [])),
      ("DATA of padding", .raw(type: 0, flags: 8, stream: 3, payload: [3, 0, 0, 0])),
      ("PRIORITY", .raw(type: 2, flags: 0, stream: 1, payload: [0, 0, 0, 0, 9])),
      ("SETTINGS", .settings([])),
      ("an unknown type", .raw(type: 0xbe, flags: 0, stream: 0, payload: [])),
    ] as [(String, ScriptedFrame)])
  func emptyFrames(_ name: String, _ frame: ScriptedFrame) async throws {
    let end = try await attack(.tooManyEmptyFrames) { peer in
      try await peer.send(.headers(3, Peer.request("/t.Probe/Chat")))
      await peer.flood([frame], times: 5_000)
    }
    #expect(end?.code == 11 && end?.debug == "too_many_empty_frames", "\(name)")
  }

  @Test("3: WINDOW_UPDATE is counted beyond ten for each DATA frame sent")
  func windowUpdates() async throws {
    let end = try await attack(.tooManyWindowUpdates) { peer in
      await peer.flood([.windowUpdate(0, 1)], times: 5_000)
    }
    #expect(end?.code == 11 && end?.debug == "too_many_window_updates")
  }

  @Test("4: PINGs without an end are too many at the fourth (gRFC A8)")
  func pings() async throws {
    let end = try await attack(.tooManyPings) { peer in
      // HEADERS or DATA sent would make the first one free.
      for _ in 0..<4 { try await peer.send(.ping([1, 2, 3, 4, 5, 6, 7, 8])) }
    }
    #expect(end?.code == 11 && end?.debug == "too_many_pings")
  }

  @Test("4: ten thousand small messages, each with a PING, are served (gRFC A8)")
  func pingPong() async throws {
    try await withServer([ProbeService()]) { server, port in
      let peer = try await Peer.connect(port: port)
      try await peer.send(.headers(1, Peer.request("/t.Probe/Chat")))
      for turn in 0..<10_000 {
        let message = Peer.message([UInt8(truncatingIfNeeded: turn)])
        let frames: [ScriptedFrame] = [
          .data(1, message), .ping([0, 0, 0, 0, 0, 0, 0, 1]), .windowUpdate(1, 6),
          .windowUpdate(0, 6),
        ]
        try await peer.send(raw: frames.flatMap(\.bytes))
        var isAcknowledged = false
        var isAnswered = false
        while !isAcknowledged || !isAnswered, let frame = try await peer.next() {
          switch frame {
          case .ping(_, ack: true): isAcknowledged = true
          case .data(1, message, _): isAnswered = true
          case .goAway, .reset: Issue.record("\(frame) at \(turn)")
          default: break
          }
        }
        guard isAcknowledged, isAnswered else {
          Issue.record("closed at \(turn)")
          return
        }
      }
      #expect(server.statistics.events[.tooManyPings] == nil)
      await peer.close()
    }
  }

  @Test(
    "5: a client that reads nothing is not read from, and is cut off in the end (CVE-2019-9512)")
  func noReader() async throws {
    var options = ServerOptions()
    options.sendTimeout = .milliseconds(300)
    options.maxOutboundFrames = 100
    options.tcpUserTimeout = nil
    // Trailers know no window: 8 KB of them for each call.
    let service = AdHocService(unary: [
      "Fail": { _, _ in
        let text = String(repeating: "v", count: 8_000)
        throw RPCError(.aborted, "", metadata: ["k": text])
      }
    ])
    try await withServer([service, ProbeService()], options: options) { server, port in
      let peer = try await StubbornPeer.connect(port: port)
      let calls = Locked(0)
      await peer.flood(until: .seconds(30)) {
        let call = calls.withLock { calls in
          calls += 1
          return calls
        }
        let stream = Peer.stream(call)
        return ScriptedFrame.headers(stream, Peer.request("/t.AdHoc/Fail")).bytes
          + ScriptedFrame.data(stream, Peer.message([]), endStream: true).bytes
      }
      #expect(try await holds { count(server, .sendTimeout) == 1 })
      #expect(count(server, .readPaused) >= 1)
      #expect(try await holds { server.statistics.connections == 0 })
      #expect(try await serves(port))
      peer.close()
    }
  }

  @Test("6: a handler that writes to a client without window is suspended at its mark")
  func writerWaits() async throws {
    let written = Locked(0)
    let service = AdHocService(streams: [
      "Write": { _, replies, _ in
        while true {
          try await replies.write([UInt8](repeating: 1, count: 16 * 1024))
          written.withLock { $0 += 1 }
        }
      }
    ])
    try await withServer([service, ProbeService()]) { server, port in
      let peer = try await Peer.connect(port: port)
      try await peer.send(.headers(1, Peer.request("/t.AdHoc/Write")))
      // 65,535 bytes of window, then 64 KiB of queue.
      #expect(try await holds { written.withLock { $0 } >= 7 })
      #expect(try await serves(port))
      #expect(written.withLock { $0 } <= 9)
      await peer.close()
      #expect(try await holds { server.statistics.handlersRunning == 0 })
    }
  }

  @Test("7: no preface, half a preface, no SETTINGS: closed in time", arguments: [0, 10, 24])
  func handshake(_ bytes: Int) async throws {
    var options = ServerOptions()
    options.handshakeTimeout = .milliseconds(100)
    try await withServer([ProbeService()], options: options) { server, port in
      let peer = try await Peer.connect(port: port, preface: false, answersByItself: false)
      try? await peer.send(raw: Array(Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8).prefix(bytes)))
      _ = try await peer.rest()
      #expect(try await holds { count(server, .handshakeTimeout) == 1 })
    }
  }

  @Test("7: a header block that does not end is cut off in time")
  func endlessHeaders() async throws {
    var options = ServerOptions()
    options.headerTimeout = .milliseconds(200)
    let end = try await attack(.headerTimeout, options) { peer in
      let block = Array(ScriptedFrame.headers(3, Peer.request("/t.Probe/Echo")).bytes.dropFirst(9))
      // HEADERS without END_HEADERS; then nothing.
      try await peer.send(.raw(type: 1, flags: 0, stream: 3, payload: block))
    }
    #expect(end?.code == 11)
  }

  @Test("7: a client that never acknowledges SETTINGS is cut off in time")
  func settingsAck() async throws {
    var options = ServerOptions()
    options.settingsTimeout = .milliseconds(100)
    try await withServer([ProbeService()], options: options) { server, port in
      let peer = try await Peer.connect(port: port, answersByItself: false)
      #expect(try await peer.goAway()?.code == 4)
      #expect(try await holds { server.statistics.connections == 0 })
      #expect(count(server, .settingsTimeout) == 1)
    }
  }

  @Test("8: connections above the maximum wait to be accepted; when one goes, the next is served")
  func connections() async throws {
    var options = ServerOptions()
    options.maxConnections = 2
    options.acceptTimeout = .seconds(60)
    let log = LogLines()
    try await withServer([ProbeService()], options: options, logger: log.logger) { server, port in
      let first = try await Peer.connect(port: port)
      let second = try await Peer.connect(port: port)
      #expect(try await holds { server.statistics.connections == 2 })
      // In the kernel's backlog, its call with it.
      let third = try await Peer.connect(port: port)
      try await third.call(1, "/t.Probe/Echo", messages: [[7]])
      #expect(try await holds { self.count(server, .acceptHeld) > 0 })
      #expect(server.statistics.connections == 2 && count(server, .connectionRefused) == 0)
      await first.close()
      #expect(try await third.response(1).messages == [[7]])
      await second.close()
      await third.close()
    }
    #expect(log.lines.filter { $0.hasPrefix("a limit is reached") }.count == 1)
  }

  @Test("8: handshakes above the maximum wait to be accepted; when one is over, the next may begin")
  func handshakes() async throws {
    var options = ServerOptions()
    options.maxHandshakes = 1
    options.acceptTimeout = .seconds(60)
    try await withServer([ProbeService()], options: options) { server, port in
      let silent = try await Peer.connect(port: port, preface: false)
      #expect(try await holds { server.statistics.connections == 1 })
      let waiting = try await Peer.connect(port: port)
      try await waiting.call(1, "/t.Probe/Echo", messages: [[7]])
      #expect(try await holds { self.count(server, .acceptHeld) > 0 })
      #expect(server.statistics.connections == 1 && count(server, .handshakeRefused) == 0)
      await silent.close()
      #expect(try await waiting.response(1).messages == [[7]])
      // Whose handshake is over does not count, however many they are.
      #expect(try await serves(port))
      await waiting.close()
    }
  }

  @Test("8: who has waited too long to be accepted is closed and counted, and the next is served")
  func waitedTooLong() async throws {
    for event in [ServerEvent.connectionRefused, .handshakeRefused] {
      var options = ServerOptions()
      if event == .connectionRefused {
        options.maxConnections = 1
      } else {
        options.maxHandshakes = 1
      }
      options.acceptTimeout = .milliseconds(10)
      try await withServer([ProbeService()], options: options) { server, port in
        let first = try await Peer.connect(port: port, preface: event == .connectionRefused)
        #expect(try await holds { server.statistics.connections == 1 })
        let late = try await Peer.connect(port: port, preface: false)
        #expect(try await late.rest().isEmpty)
        #expect(try await holds { self.count(server, event) == 1 })
        await first.close()
        #expect(try await holds { server.statistics.connections == 0 })
        #expect(try await serves(port))
      }
    }
  }

  @Test("8: 200 clients at once, ten handshakes at most: every one is served")
  func burst() async throws {
    var options = ServerOptions()
    options.maxHandshakes = 10
    options.acceptTimeout = .seconds(60)
    try await withServer([ProbeService()], options: options) { server, port in
      try await withThrowingTaskGroup(of: Bool.self) { group in
        for _ in 0..<200 { group.addTask { try await self.serves(port) } }
        for try await served in group { #expect(served) }
      }
      #expect(count(server, .handshakeRefused) == 0 && count(server, .connectionRefused) == 0)
    }
  }

  @Test("9: a length prefix is a claim: over the limit it fails its call, below it costs nothing")
  func lengthPrefix() async throws {
    try await withServer([ProbeService()]) { server, port in
      let peer = try await Peer.connect(port: port)
      try await peer.send(.headers(1, Peer.request("/t.Probe/Echo")))
      try await peer.send(.data(1, [0, 0xff, 0xff, 0xff, 0xff]))
      #expect(try await peer.response(1).status == 8)
      #expect(count(server, .messageTooLarge) == 1)
      try await peer.send(.headers(3, Peer.request("/t.Probe/Echo")))
      try await peer.send(.data(3, [0, 0, 0x3f, 0xff, 0xff, 1]))
      try await peer.call(5, "/t.Probe/Echo", messages: [[5]])
      #expect(try await peer.response(5).messages == [[5]])
      await peer.close()
    }
  }

  @Test(
    "10: a path is one registered key, byte by byte",
    arguments: [
      "t.Probe/Echo", "/t.Probe/Echo/", "//t.Probe/Echo", "/t.Probe/echo", "/t.Probe/Echo?x=1",
      "/t.Probe/%45cho", "/./t.Probe/Echo", "*", "/", "http://a/t.Probe/Echo",
    ])
  func paths(_ path: String) async throws {
    try await withServer([ProbeService()]) { server, port in
      let peer = try await Peer.connect(port: port)
      try await peer.call(1, path, messages: [[1]])
      let response = try await peer.response(1)
      // nghttp2 resets what is no path at all (RFC 9113 §8.3.1); the rest is UNIMPLEMENTED.
      #expect(response.status == 12 || response.reset == 1, "\(response)")
      try await peer.call(3, "/t.Probe/Echo", messages: [[5]])
      #expect(try await peer.response(3).messages == [[5]])
      #expect(server.statistics.callsStarted == 1)
      await peer.close()
    }
  }

  @Test(
    "11: a bad header fails its call, not the connection (CVE-2023-1428, 2023-32732)",
    arguments: [
      ("te", "gzip"), ("x-bin", "***"), ("grpc-timeout", "never"), ("grpc-timeout", "123456789S"),
      ("grpc-encoding", "\u{1}"), ("x-text", "a\u{1}b"), ("connection", "close"),
      ("grpc-message", "%zz%"), ("X-Upper", "1"), ("te", String(repeating: "x", count: 9_000)),
      ("x-large-bin", String(repeating: "A", count: 20_000)),
    ])
  func badHeaders(_ name: String, _ value: String) async throws {
    try await withServer([ProbeService()]) { server, port in
      let peer = try await Peer.connect(port: port)
      try await peer.call(1, "/t.Probe/Echo", [ScriptedHeader(name, value)], messages: [[1]])
      _ = try await peer.response(1)
      try await peer.call(3, "/t.Probe/Echo", messages: [[5]])
      #expect(try await peer.response(3).messages == [[5]])
      #expect(server.statistics.connections == 1)
      await peer.close()
    }
  }

  @Test("11: what kind of header it was can be counted")
  func badHeaderEvents() async throws {
    try await withServer([ProbeService()]) { server, port in
      let peer = try await Peer.connect(port: port)
      try await peer.call(1, "/t.Probe/Echo", [ScriptedHeader("x-bin", "***")], messages: [[1]])
      #expect(try await peer.response(1).status == 13)
      let large = ScriptedHeader("x-large", String(repeating: "a", count: 20_000))
      try await peer.call(3, "/t.Probe/Echo", [large], messages: [[1]])
      #expect(try await peer.response(3).status == 8)
      try await peer.call(5, "/", messages: [[1]])
      _ = try await peer.response(5)
      #expect(count(server, .badHeader) == 1 && count(server, .headerListTooLarge) == 1)
      #expect(count(server, .badPath) == 1)
      await peer.close()
    }
  }

  @Test("12: after a connection error not a byte is read any more (CVE-2026-27135)")
  func connectionError() async throws {
    try await withServer([ProbeService()]) { server, port in
      let peer = try await Peer.connect(port: port)
      var bytes = ScriptedFrame.data(0, [1]).bytes
      bytes += ScriptedFrame.raw(type: 0xa, flags: 0, stream: 0, payload: [0, 1, 97, 98]).bytes
      bytes += ScriptedFrame.headers(1, Peer.request("/t.Probe/Echo")).bytes
      bytes += ScriptedFrame.data(1, Peer.message([1]), endStream: true).bytes
      try await peer.send(raw: bytes)
      #expect(try await peer.goAway()?.code == 1)
      #expect(try await peer.rest().isEmpty)
      #expect(count(server, .connectionError) == 1 && server.statistics.callsStarted == 0)
      #expect(try await serves(port))
    }
  }
}
