// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkWire

@testable import TrunkHTTP2

@Suite("Streams of two sessions in memory")
struct StreamTests {
  @Test(
    "headers, data and trailers arrive whole, however the bytes are split",
    arguments: [1, 2, 3, 7, 9, 64, 1_000, Int.max])
  func anySplit(_ split: Int) {
    var pair = Pair()
    pair.split = split
    let (log, stream) = pair.client.request(["x-key": "value"])
    stream?.write(pattern(3_000))
    stream?.finish()
    pair.pump()
    let request = pair.server.accepted[0]
    #expect(request.fields[":path"] == "/t.Service/Method" && request.fields["x-key"] == "value")
    #expect(request.blocks == [.request] && request.bytes == pattern(3_000) && request.hasEnded)

    request.trailers = ["x-status": "0"]
    pair.server.respond(pair.server.acceptedStreams[0])
    pair.server.acceptedStreams[0].write(pattern(2_000))
    pair.server.acceptedStreams[0].finishWithTrailers()
    pair.pump()
    #expect(log.fields[":status"] == "200" && log.fields["x-status"] == "0")
    #expect(log.blocks == [.response, .trailers] && log.bytes == pattern(2_000) && log.hasEnded)
    #expect(log.closings == [.code(0)] && request.closings == [.code(0)])
    #expect(pair.client.session.openStreams == 0 && pair.server.session.openStreams == 0)
  }

  @Test(
    "a header block that comes in two parts is whole, though another stream closes with the first")
  func blockInParts() {
    var cut = 1
    var isPast = false
    while !isPast {
      let pair = Pair()
      let (first, _) = pair.client.request()
      let (second, _) = pair.client.request()
      pair.pump()
      for (index, stream) in pair.server.acceptedStreams.enumerated() {
        pair.server.accepted[index].trailers = ["x-status": "\(index)", "x-more": "more"]
        pair.server.respond(stream)
        stream.finishWithTrailers()
      }
      let answers = pair.server.output()
      isPast = cut >= answers.count
      pair.client.input(Array(answers.prefix(cut)))
      // What is sent meanwhile is another stream's.
      let (third, _) = pair.client.request()
      _ = pair.client.output()
      pair.client.input(Array(answers.dropFirst(cut)))
      #expect(third.fields.isEmpty && third.blocks.isEmpty)
      for (log, status) in [(first, "0"), (second, "1")] {
        #expect(log.fields[":status"] == "200" && log.fields["x-status"] == status)
        #expect(log.fields["x-more"] == "more" && log.blocks == [.response, .trailers])
      }
      cut += 1
    }
  }

  @Test("a request in two parts is whole, though another is cancelled with the first")
  func requestInParts() {
    var cut = 1
    var isPast = false
    while !isPast {
      let pair = Pair()
      let (_, first) = pair.client.request()
      _ = pair.client.request()
      pair.pump()
      first?.reset(HTTP2ErrorCode.cancel)
      _ = pair.client.request(["x-key": "value"])
      let bytes = pair.client.output()
      isPast = cut >= bytes.count
      pair.server.input(Array(bytes.prefix(cut)))
      // An answer is sent meanwhile.
      pair.server.session.headers.add(":status", "200")
      pair.server.session.respondAndEnd(pair.server.acceptedStreams[1])
      _ = pair.server.output()
      pair.server.input(Array(bytes.dropFirst(cut)))
      let request = pair.server.accepted[2]
      #expect(pair.server.accepted[1].fields["x-key"] == nil)
      #expect(request.fields[":path"] == "/t.Service/Method" && request.fields["x-key"] == "value")
      #expect(pair.server.accepted[0].closings.count == 1 && request.blocks == [.request])
      cut += 1
    }
  }

  @Test("a body larger than every window arrives, with a reader that keeps up", arguments: [0, 1])
  func largerThanWindow(_ direction: Int) {
    let size = 9 << 20
    let pair = Pair()
    let (log, stream) = pair.client.request()
    if direction == 0 {
      stream?.write(pattern(size))
      stream?.finish()
      pair.pump()
      #expect(pair.server.accepted[0].bytes == pattern(size) && pair.server.accepted[0].hasEnded)
    } else {
      pair.pump()
      pair.server.respond(pair.server.acceptedStreams[0])
      pair.server.acceptedStreams[0].write(pattern(size))
      pair.server.acceptedStreams[0].finishWithTrailers()
      pair.pump()
      #expect(log.bytes == pattern(size) && log.hasEnded)
    }
  }

  @Test("a reader that returns no credit stops the writer at its stream's window")
  func slowReader() {
    let pair = Pair(server: { $0.initialWindowSize = 100_000 })
    pair.server.consumes = false
    let (log, stream) = pair.client.request()
    pair.pump()
    stream?.write(pattern(300_000))
    #expect(stream?.isAboveMark == true)
    pair.pump()
    let request = pair.server.accepted[0]
    #expect(request.bytes.count == 100_000 && stream?.queued == 200_000)
    #expect(log.writableCalls == 0, "the writer is not told of room that is not there")

    // Credit comes back in two steps; the writer hears of it once, below half the mark.
    pair.server.acceptedStreams[0].consume(100_000)
    pair.pump()
    #expect(request.bytes.count == 200_000 && log.writableCalls == 0)
    pair.server.acceptedStreams[0].consume(100_000)
    pair.pump()
    #expect(request.bytes == pattern(300_000) && log.writableCalls == 1 && stream?.queued == 0)
  }

  @Test("one slow reader does not stall its neighbours")
  func neighbours() {
    let pair = Pair(server: {
      $0.initialWindowSize = 70_000
      $0.connectionWindowSize = 70_000
      $0.maxBufferedBytes = 140_000
    })
    pair.server.onOpened = { stream, log in log.consumes = stream.id != 1 }
    let slow = pair.client.request()
    let fast = pair.client.request()
    slow.stream?.write(pattern(500_000))
    pair.pump()
    fast.stream?.write(pattern(1_000_000))
    fast.stream?.finish()
    pair.pump()
    #expect(pair.server.accepted[0].bytes.count == 70_000)
    #expect(pair.server.accepted[1].bytes == pattern(1_000_000))
  }

  @Test("unread bytes of all streams together are bounded, and a close gives the rest its credit")
  func boundedBuffer() {
    let pair = Pair(server: {
      $0.initialWindowSize = 65_535
      $0.connectionWindowSize = 65_535
      $0.maxBufferedBytes = 65_535
    })
    pair.server.consumes = false
    let streams = (0..<20).map { _ in pair.client.request() }
    for stream in streams { stream.stream?.write(pattern(65_535)) }
    pair.pump()
    let unread = pair.server.accepted.reduce(0) { $0 + $1.bytes.count }
    #expect(unread <= 2 * 65_535 + 16_384 && unread >= 65_535)

    for (index, stream) in streams.enumerated() where pair.server.accepted[index].bytes.count > 0 {
      stream.stream?.reset(HTTP2ErrorCode.cancel)
    }
    pair.pump()
    let later = pair.server.accepted.reduce(0) { $0 + $1.bytes.count }
    #expect(later > unread, "credit of streams that were reset must not be lost")
  }

  @Test("a header list over the limit fails its stream; the connection and HPACK go on")
  func headerLimit() {
    let pair = Pair(server: { $0.maxHeaderListSize = 1_000 })
    _ = pair.client.request(["x-large": String(repeating: "a", count: 2_000), "x-after": "1"])
    _ = pair.client.request(["x-large": String(repeating: "a", count: 100), "x-after": "2"])
    pair.pump()
    #expect(pair.server.accepted.map(\.tooLarge) == [true, false])
    #expect(pair.server.accepted[0].fields["x-large"] == nil)
    #expect(pair.server.accepted[1].fields["x-after"] == "2")
    #expect(!pair.server.session.isTerminated)
  }

  @Test("a reset reaches the other side with its code, and each side closes once")
  func resets() {
    let pair = Pair()
    let byClient = pair.client.request()
    let byServer = pair.client.request()
    pair.pump()
    byClient.stream?.reset(HTTP2ErrorCode.cancel)
    byClient.stream?.reset(HTTP2ErrorCode.cancel)
    pair.server.acceptedStreams[1].reset(HTTP2ErrorCode.enhanceYourCalm)
    pair.pump()
    #expect(byClient.log.closings == [.code(8)] && pair.server.accepted[0].closings == [.code(8)])
    #expect(byServer.log.closings == [.code(11)] && pair.server.accepted[1].closings == [.code(11)])
    byClient.stream?.write([1])
    byClient.stream?.finish()
    byClient.stream?.consume(1)
    pair.pump()
    #expect(!pair.client.session.isTerminated && !pair.server.session.isTerminated)
  }

  @Test("REFUSED_STREAM is told apart: the peer did not process it")
  func refused() {
    let pair = Pair()
    let (log, _) = pair.client.request()
    pair.pump()
    pair.server.acceptedStreams[0].reset(HTTP2ErrorCode.refusedStream)
    pair.pump()
    #expect(log.closings == [.refused])
  }

  @Test("a server that is done before its client sends RST_STREAM NO_ERROR behind the end")
  func earlyEnd() {
    let pair = Pair()
    let (log, stream) = pair.client.request()
    stream?.write(pattern(100))
    pair.pump()
    pair.server.respond(pair.server.acceptedStreams[0], end: true)
    let sent = frames(pair.server.output()).filter { $0.stream == 1 }
    #expect(sent.map(\.type) == [1, 3] && sent.last?.payload == [0, 0, 0, 0])
    #expect(log.closings.isEmpty)
  }

  @Test("no RST_STREAM where the client has ended as well")
  func properEnd() {
    let pair = Pair()
    let (_, stream) = pair.client.request()
    stream?.finish()
    pair.pump()
    pair.server.respond(pair.server.acceptedStreams[0], end: true)
    #expect(frames(pair.server.output()).map(\.type) == [1])
  }
}
