// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

import Testing

@testable import TrunkHTTP2

private let second: UInt64 = 1_000_000_000

@Suite("Abuse budgets, as values")
struct AbuseBudgetTests {
  private func budget(_ change: (inout AbuseBudget.Limits) -> Void = { _ in }) -> AbuseBudget {
    var limits = AbuseBudget.Limits()
    change(&limits)
    return AbuseBudget(limits, pings: PingPolicy(interval: second, permitsWithoutCalls: true))
  }

  private func frame(_ type: UInt8, _ flags: UInt8 = 0, _ payload: [UInt8] = []) -> [UInt8] {
    [0, UInt8(payload.count >> 8), UInt8(payload.count & 255), type, flags, 0, 0, 0, 1] + payload
  }

  private func counts(_ bytes: [UInt8], split: Int = .max) -> (FrameCounter.Counts, FrameCounter) {
    var watch = FrameCounter()
    var counts = FrameCounter.Counts()
    var rest = (preface + bytes)[...]
    while !rest.isEmpty {
      Array(rest.prefix(split)).withUnsafeBytes { watch.scan($0, &counts) }
      rest = rest.dropFirst(split)
    }
    return (counts, watch)
  }

  @Test("a rate limit lets a burst through, then its rate, and forgets with time")
  func rate() {
    var budget = RateBudget(RateLimit(burst: 5, perSecond: 2))
    let burst = (0..<6).map { _ in budget.take(now: 0) }
    #expect(burst == [true, true, true, true, true, false])
    let later = [budget.take(now: second), budget.take(2, now: second)]
    #expect(later == [true, false])
    var patient = RateBudget(RateLimit(burst: 1, perSecond: 1))
    let steady = (0..<100).allSatisfy { patient.take(now: UInt64($0) * second) }
    #expect(steady)
    var silly = RateBudget(RateLimit(burst: .max, perSecond: -1))
    let taken = silly.take(.max, now: .max - 1)
    #expect(taken)
  }

  @Test(
    "frames that bring nothing are counted, others are not, however the bytes are split",
    arguments: [1, 2, 3, 8, 9, 10, 100, Int.max])
  func idleFrames(_ split: Int) {
    let idle = [
      frame(0), frame(0, 8, [0]), frame(0, 8, [3, 0, 0, 0]), frame(2, 0, [0, 0, 0, 0, 1]),
      frame(4), frame(4, 1), frame(0xbe, 0xff, [1, 2, 3]),
    ]
    let useful = [
      frame(0, 1), frame(0, 9, [0]), frame(0, 0, [1]), frame(0, 8, [1, 7, 0]), frame(1, 4, [0x82]),
      frame(1, 0, [0x82]), frame(9, 4), frame(3, 0, [0, 0, 0, 8]),
      frame(6, 0, [1, 2, 3, 4, 5, 6, 7, 8]),
    ]
    let updates = [frame(8, 0, [0, 0, 0, 1]), frame(8, 0, [0, 0, 0, 1])]
    let all = (idle + useful + updates).flatMap { $0 }
    let (counts, watch) = counts(all, split: split)
    #expect(counts.idleFrames == idle.count && counts.windowUpdates == updates.count)
    #expect(counts.frames == idle.count + useful.count + updates.count)
    #expect(!watch.isInHeaderBlock && watch.headerBlocks == 2)
  }

  @Test("a header block is open from its first byte of HEADERS to the last of END_HEADERS")
  func headerBlock() {
    #expect(counts(frame(1, 0, [0x82])).1.isInHeaderBlock)
    #expect(counts(frame(1, 0, [0x82]) + frame(9, 0, [0x82])).1.isInHeaderBlock)
    #expect(counts(Array(frame(1, 4, [0x82, 0x84]).dropLast())).1.isInHeaderBlock)
    #expect(!counts(frame(1, 0, [0x82]) + frame(9, 4, [0x82])).1.isInHeaderBlock)
    #expect(!counts(Array(frame(1, 4, [0x82]).prefix(8))).1.isInHeaderBlock)
  }

  @Test("the first budget that is overdrawn is the offence, for good")
  func offences() {
    var idle = budget { $0.idleFrames = RateLimit(burst: 3, perSecond: 1) }
    (preface + frame(2) + frame(2) + frame(2)).withUnsafeBytes { idle.received($0, now: 0) }
    #expect(idle.offence == nil)
    frame(2).withUnsafeBytes { idle.received($0, now: 0) }
    #expect(idle.offence == .idleFrames)
    for _ in 0..<4 { idle.pingReceived(now: 0, hasCalls: true, hasSent: false) }
    #expect(idle.offence == .idleFrames)
    var pings = budget()
    for _ in 0..<4 { pings.pingReceived(now: 0, hasCalls: true, hasSent: false) }
    #expect(pings.offence == .pings)
  }

  @Test("resets that the server makes of its own accord are not counted against the client")
  func ownResets() {
    var budget = budget { $0.provokedResets = RateLimit(burst: 2, perSecond: 1) }
    for code in [HTTP2ErrorCode.noError, HTTP2ErrorCode.cancel, HTTP2ErrorCode.refusedStream] {
      for _ in 0..<10 { budget.resetSent(code, now: 0) }
    }
    #expect(budget.offence == nil)
    for _ in 0..<3 { budget.resetSent(HTTP2ErrorCode.protocolError, now: 0) }
    #expect(budget.offence == .provokedResets)
  }

  @Test("a reader that gives credit for every message is fine for ever")
  func windowUpdates() {
    var budget = budget { $0.windowUpdates = RateLimit(burst: 5, perSecond: 1) }
    let updates = frame(8, 0, [0, 0, 0, 1]) + frame(8, 0, [0, 0, 0, 1])
    preface.withUnsafeBytes { budget.received($0, now: 0) }
    for _ in 0..<10_000 {
      budget.dataSent()
      updates.withUnsafeBytes { budget.received($0, now: 0) }
    }
    #expect(budget.offence == nil)
  }

  @Test("of used streams sixteen of the newest closed ones and the newest gap are known")
  func usedStreams() {
    var used = UsedStreams()
    var wrong: [FrameCounter.Violation] = []
    for id in stride(from: UInt32(1), through: 39, by: 2) {
      if let violation = used.headers(id) { wrong.append(violation) }
      used.close(id)
    }
    #expect(wrong.isEmpty)
    let known = stride(from: UInt32(1), through: 41, by: 2).filter {
      used.use($0) == .closedStream($0)
    }
    #expect(known == Array(stride(from: UInt32(9), through: 39, by: 2)))
    // Old trailers, late ones, a jump to 51, and as far as stream numbers go.
    let heads = [1, 39, 51, 49, 0x7fff_ffff, 0x7fff_fffd, 51, 0].map { used.headers($0) }
    #expect(
      heads == [
        nil, .closedStream(39), nil, .passedOverStream(49), nil, .passedOverStream(0x7fff_fffd),
        nil,
        nil,
      ])
    let data = [41, 53, 51, 0].map { used.use($0) }
    #expect(data == [nil, .passedOverStream(53), nil, nil])
  }
}
