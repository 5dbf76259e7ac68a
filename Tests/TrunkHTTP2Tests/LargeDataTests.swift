// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkWire

@testable import TrunkHTTP2

@Suite("DATA that goes from a stream's queue to the socket's buffer")
struct LargeDataTests {
  /// A request under way whose answer has begun.
  private func answered(
    client: (inout HTTP2Settings) -> Void = { _ in }
  ) throws -> (pair: Pair, log: StreamLog, stream: HTTP2Stream, answer: HTTP2Stream) {
    let pair = Pair(client: client)
    pair.pump()
    let request = pair.client.request()
    pair.pump()
    let answer = try #require(pair.server.acceptedStreams.first)
    pair.server.respond(answer)
    pair.pump()
    return (pair, request.log, try #require(request.stream), answer)
  }

  @Test(
    "pieces of any size arrive in order, with the trailers behind them",
    arguments: [
      [4_095], [4_096], [16_384], [16_385], [20_000, 1, 20_000], [100, 5_000, 100],
      [3_000, 3_000, 3_000], [65_536, 65_536, 7],
    ])
  func anySize(_ sizes: [Int]) throws {
    let (pair, log, stream, answer) = try answered()
    let bytes = pattern(sizes.reduce(0, +))
    var offset = 0
    for size in sizes {
      answer.write(Array(bytes[offset..<(offset + size)]))
      offset += size
    }
    pair.server.accepted[0].trailers = ["grpc-status": "0"]
    answer.finishWithTrailers()
    pair.pump()
    #expect(log.bytes == bytes)
    #expect(log.blocks == [.response, .trailers] && log.fields["grpc-status"] == "0")
    stream.finish()
    pair.pump()
    #expect(log.closings == [.code(0)])
    #expect(pair.server.session.queuedBytes == 0)
  }

  @Test("a frame is finished when its sink has enough, and the next one comes with the next drain")
  func wholeFrames() throws {
    let (pair, log, _, answer) = try answered { $0.initialWindowSize = 1 << 20 }
    answer.write(pattern(65_535))
    for count in [16_384, 16_384, 16_384, 16_383] {
      let bytes = pair.server.output(enough: 1)
      #expect(frames(bytes).map(\.payload.count) == [count])
      #expect(bytes.count == 9 + count)
      pair.client.input(bytes)
    }
    #expect(pair.server.output().isEmpty)
    #expect(log.bytes == pattern(65_535))
  }

  @Test("what is handed over counts against both windows, however often a drain stops")
  func windows() throws {
    let (pair, log, _, answer) = try answered {
      $0.initialWindowSize = 100_000
      $0.connectionWindowSize = 150_000
    }
    // Twenty windows full: a byte that one side does not count would stop, or end, the connection.
    let bytes = pattern(2_000_000)
    var offset = 0
    while offset < bytes.count || answer.queued > 0 {
      if answer.queued == 0 {
        answer.write(Array(bytes[offset..<min(offset + 50_000, bytes.count)]))
        offset += 50_000
      }
      let out = pair.server.output(enough: 20_000)
      pair.client.input(out)
      let credit = pair.client.output()
      pair.server.input(credit)
      if out.isEmpty && credit.isEmpty { break }
    }
    #expect(log.bytes == bytes && log.closings.isEmpty)
    #expect(pair.client.session.violation == nil && pair.server.session.openStreams == 1)
  }

  @Test(
    "a stream that ends while its next frame is planned takes nothing with it",
    arguments: [true, false])
  func resetWhilePlanned(byPeer: Bool) throws {
    let (pair, log, stream, answer) = try answered()
    let other = pair.client.request()
    pair.pump()
    let second = try #require(pair.server.acceptedStreams.last)
    pair.server.respond(second)
    answer.write(pattern(40_000))
    // The sink has enough behind one frame, so that nghttp2 has the next one at hand.
    pair.client.input(pair.server.output(enough: 1))
    pair.client.input(pair.server.output(enough: 1))
    if byPeer {
      stream.reset(HTTP2ErrorCode.cancel)
      pair.server.input(pair.client.output())
    } else {
      answer.reset(HTTP2ErrorCode.cancel)
    }
    second.write(pattern(60_000))
    second.finish()
    pair.pump()
    #expect(log.closings == [.code(HTTP2ErrorCode.cancel)])
    #expect(log.bytes.count < 40_000 && log.bytes == Array(pattern(40_000).prefix(log.bytes.count)))
    #expect(other.log.bytes == pattern(60_000) && other.log.hasEnded)
    #expect(pair.server.session.queuedBytes == 0 && pair.server.session.connectionError == nil)
  }

  @Test("a writer hears of room once its queue has drained, not when a frame is only planned")
  func writable() throws {
    let (pair, _, _, answer) = try answered { $0.initialWindowSize = 1 << 20 }
    answer.write(pattern(80_000))
    #expect(answer.isAboveMark)
    var left = 80_000
    while left > HTTP2Stream.writeMark / 2 {
      #expect(pair.server.accepted[0].writableCalls == 0 && answer.queued == left)
      _ = pair.server.output(enough: 1)
      left -= 16_384
    }
    #expect(pair.server.accepted[0].writableCalls == 1)
  }
}
