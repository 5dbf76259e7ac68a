// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkWire

@testable import TrunkHTTP2

@Suite("The connection of two sessions in memory")
struct ConnectionTests {
  /// What a client sends first: preface, SETTINGS.
  private func prefaced() -> Side {
    let server = Side(.server)
    server.input(preface + [0, 0, 0, 4, 0, 0, 0, 0, 0])
    _ = server.output()
    return server
  }

  @Test("SETTINGS complete the handshake on both sides, once")
  func handshake() {
    let pair = Pair()
    #expect(!pair.client.session.peerSettingsSeen)
    pair.pump()
    #expect(pair.client.settingsReceivedCalls == 1 && pair.server.settingsReceivedCalls == 1)
    #expect(pair.client.session.peerSettingsSeen && pair.server.session.peerSettingsSeen)
  }

  @Test("streams above MAX_CONCURRENT_STREAMS wait, and go out as others end")
  func concurrency() {
    let pair = Pair(server: { $0.maxConcurrentStreams = 2 })
    pair.pump()
    let requests = (0..<5).map { _ in pair.client.request() }
    pair.pump()
    #expect(pair.server.accepted.count == 2)
    #expect(requests.map { $0.stream?.headersSent } == [true, true, false, false, false])
    for served in 0..<5 {
      pair.server.respond(pair.server.acceptedStreams[served], end: true)
      pair.pump()
      #expect(pair.server.accepted.count == min(5, served + 3))
    }
    #expect(requests.allSatisfy { $0.log.closings == [.code(0)] })
  }

  @Test("a waiting stream that is reset is closed as never sent, without waiting for a slot")
  func resetOfWaiting() {
    let pair = Pair(server: { $0.maxConcurrentStreams = 1 })
    pair.pump()
    let first = pair.client.request()
    let waiting = pair.client.request()
    let third = pair.client.request()
    pair.pump()
    waiting.stream?.reset(HTTP2ErrorCode.cancel)
    #expect(waiting.log.closings.isEmpty, "not from within the reset")
    pair.pump()
    #expect(waiting.log.closings == [.notSent] && first.log.closings.isEmpty)
    pair.server.respond(pair.server.acceptedStreams[0], end: true)
    pair.pump()
    #expect(pair.server.acceptedStreams.map(\.id) == [1, 5], "and it never goes out")
    #expect(third.stream?.headersSent == true && waiting.log.closings == [.notSent])
  }

  @Test("GOAWAY: above its last id refused, waiting ones never sent, lower ones go on")
  func goAway() {
    let pair = Pair(server: { $0.maxConcurrentStreams = 2 })
    pair.pump()
    let taken = pair.client.request()
    pair.pump()
    let late = pair.client.request()
    let waiting = pair.client.request()
    // On its way when the server says GOAWAY.
    let inFlight = pair.client.output()
    pair.server.session.goAway(HTTP2ErrorCode.noError, "max_age")
    pair.client.input(pair.server.output())
    pair.server.input(inFlight)
    #expect(pair.client.goAways.map(\.last) == [1] && pair.client.goAways[0].text == "max_age")
    #expect(late.log.closings == [.refused] && waiting.log.closings == [.notSent])
    #expect(pair.client.request().stream == nil, "no new streams")
    #expect(pair.server.accepted.count == 1, "the late one is ignored")

    pair.server.respond(pair.server.acceptedStreams[0])
    pair.server.acceptedStreams[0].write([1, 2, 3])
    pair.server.acceptedStreams[0].finishWithTrailers()
    taken.stream?.finish()
    pair.pump()
    #expect(taken.log.bytes == [1, 2, 3] && taken.log.closings == [.code(0)])
    #expect(pair.server.session.isFinished && pair.client.session.isFinished)
  }

  @Test("a stop in two steps loses no stream that is on its way")
  func twoSteps() {
    let pair = Pair()
    pair.pump()
    _ = pair.client.request()
    let inFlight = pair.client.output()
    pair.server.session.announceShutdown()
    pair.server.session.ping(7)
    pair.client.input(pair.server.output())
    #expect(pair.client.goAways.map(\.last) == [.max] && pair.client.session.goAwayReceived)
    pair.server.input(inFlight)
    pair.server.input(pair.client.output())
    #expect(pair.server.pings == [7] && pair.server.accepted.count == 1)
    pair.server.session.goAway()
    pair.pump()
    #expect(pair.client.goAways.map(\.last) == [.max, 1] && !pair.server.session.isFinished)
    pair.server.respond(pair.server.acceptedStreams[0], end: true)
    pair.pump()
    #expect(pair.server.session.isFinished)
  }

  @Test("PING comes back with the same eight bytes")
  func ping() {
    let pair = Pair()
    pair.client.session.ping(0x0102_0304_0506_0708)
    pair.pump()
    #expect(pair.client.pings == [0x0102_0304_0506_0708] && pair.server.pings.isEmpty)
  }

  @Test("a lost connection closes every stream once: sent ones as lost, others as never sent")
  func lost() {
    let pair = Pair(server: { $0.maxConcurrentStreams = 1 })
    pair.pump()
    let sent = pair.client.request()
    let waiting = pair.client.request()
    pair.pump()
    let handedOut = pair.client.output()
    #expect(handedOut.isEmpty)
    for _ in 0..<2 {
      pair.client.session.close()
      pair.server.session.close()
    }
    #expect(sent.log.closings == [.connectionLost] && waiting.log.closings == [.notSent])
    #expect(pair.server.accepted[0].closings == [.connectionLost])
    sent.stream?.reset(HTTP2ErrorCode.cancel)
    #expect(pair.client.output().isEmpty, "nothing is drained after the end")
    #expect(pair.client.request().stream == nil)
  }

  @Test("HEADERS that were handed over count as sent, even if nghttp2 was not asked for more")
  func handedOver() {
    let pair = Pair()
    pair.pump()
    let (log, stream) = pair.client.request()
    var bytes: [UInt8] = []
    pair.client.session.drain {
      bytes += $0
      return false
    }
    #expect(frames(bytes).map(\.type) == [1] && stream?.headersSent == true)
    pair.client.session.close()
    #expect(log.closings == [.connectionLost], "it may have been processed: no second try")
  }

  @Test("a stream's owner may close the connection from within an event")
  func closeInside() {
    let pair = Pair()
    pair.server.onOpened = { [server = pair.server] _, log in
      log.onHeaders = { server.session.close() }
    }
    let requests = (0..<3).map { _ in pair.client.request() }
    for request in requests {
      request.stream?.write(pattern(100))
      request.stream?.finish()
    }
    pair.pump()
    #expect(pair.server.accepted.count == 1)
    #expect(pair.server.accepted[0].closings == [.connectionLost])
    #expect(pair.server.accepted[0].bytes.isEmpty && pair.server.session.openStreams == 0)
  }

  @Test(
    "garbage ends the connection with GOAWAY, and not a byte is taken after it",
    arguments: [
      ("no preface", Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8), false),
      ("DATA on stream 0", [0, 0, 1, 0, 0, 0, 0, 0, 0, 1], true),
      ("HEADERS on an even stream", [0, 0, 1, 1, 5, 0, 0, 0, 2, 0x82], true),
      ("a frame over the limit", [1, 0, 0, 0, 0, 0, 0, 0, 1], true),
      ("PING of 7 bytes", [0, 0, 7, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7], true),
      ("broken HPACK", [0, 0, 2, 1, 5, 0, 0, 0, 1, 0xff, 0xff], true),
      ("WINDOW_UPDATE of 0", [0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0], true),
    ] as [(String, [UInt8], Bool)])
  func garbage(_ name: String, _ bytes: [UInt8], _ afterPreface: Bool) {
    let server = afterPreface ? prefaced() : Side(.server)
    // A sound request behind it must not be seen.
    let client = Side(.client)
    _ = client.request()
    let request = client.output().dropFirst(preface.count)
    server.input(bytes)
    server.input(Array(request))
    let sent = frames(server.output())
    #expect(sent.contains { $0.type == 7 }, "\(name): no GOAWAY")
    #expect(server.session.isFinished, "\(name)")
    server.input(Array(request))
    #expect(server.accepted.allSatisfy { $0.blocks.isEmpty }, "\(name)")
    #expect(server.output().isEmpty, "\(name)")
  }

  @Test(
    "random bytes never trap, and every stream that was opened is closed once", arguments: 0..<8)
  func noise(_ seed: UInt64) {
    var state = seed &* 0x9e37_79b9_7f4a_7c15 &+ 1
    func random() -> UInt8 {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      return UInt8(truncatingIfNeeded: state >> 24)
    }
    for _ in 0..<200 {
      let server = Side(.server)
      let client = Side(.client)
      for _ in 0..<3 {
        let (_, stream) = client.request()
        stream?.write(pattern(50))
        stream?.finish()
      }
      var bytes = client.output()
      for _ in 0..<(1 + Int(random()) % 4) {
        let place = preface.count + Int(random()) % (bytes.count - preface.count)
        bytes[place] = random()
      }
      server.input(bytes)
      _ = server.output()
      server.session.close()
      #expect(server.accepted.allSatisfy { $0.closings.count == 1 })
    }
  }
}
