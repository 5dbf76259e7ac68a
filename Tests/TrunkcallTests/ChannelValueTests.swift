// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkSockets
import TrunkWire

@testable import Trunkcall

@Suite struct ResponseStateTests {
  private func state(_ blocks: [([(String, String)], end: Bool)]) -> (
    ResponseState, ResponseState.BlockEnd
  ) {
    var state = ResponseState()
    var last = ResponseState.BlockEnd.interim
    for (fields, end) in blocks {
      for (name, value) in fields {
        Array(name.utf8).withUnsafeBytes { n in
          Array(value.utf8).withUnsafeBytes { v in _ = state.header(n, v) }
        }
      }
      last = state.blockEnded(endStream: end)
    }
    return (state, last)
  }

  private let good = [(":status", "200"), ("content-type", "application/grpc")]

  @Test("headers, then trailers with grpc-status 0, are OK; the rest of both is metadata")
  func ok() {
    let (state, end) = state([
      (good + [("x-a", "1"), ("grpc-encoding", "identity")], false),
      ([("grpc-status", "0"), ("x-t", "2"), ("grpc-status-details-bin", "AA")], true),
    ])
    guard case .ok = end else { return #expect(Bool(false), "\(end)") }
    #expect(state.initialMetadata == ["x-a": "1"])
    #expect(state.trailingMetadata == ["x-t": "2", "grpc-status-details-bin": "AA"])
    #expect(state.compression == .identity)
  }

  @Test("a 1xx block is no response yet")
  func interim() {
    let (state, end) = state([([(":status", "103")], false), (good, false)])
    guard case .headers = end else { return #expect(Bool(false), "\(end)") }
    #expect(state.phase == .messages)
  }

  @Test("Trailers-Only carries status, message and trailing metadata of the peer")
  func trailersOnly() {
    let (state, end) = state([
      (good + [("grpc-status", "5"), ("grpc-message", "no%20such%c3%b6"), ("x", "y")], true)
    ])
    guard case .failed(let error) = end else { return #expect(Bool(false), "\(end)") }
    #expect(error.code == .notFound)
    #expect(error.message == "no suchö")
    #expect(error.origin == .peer)
    #expect(error.metadata == ["x": "y"])
    #expect(state.trailingMetadata == ["x": "y"])
  }

  @Test(
    "without a grpc-status the HTTP status decides (http-grpc-status-mapping.md)",
    arguments: [
      ("400", RPCError.Code.internal), ("401", .unauthenticated), ("403", .permissionDenied),
      ("404", .unimplemented), ("429", .unavailable), ("502", .unavailable), ("503", .unavailable),
      ("504", .unavailable), ("500", .unknown), ("302", .unknown), ("abc", .unknown),
    ])
  func httpStatus(status: String, code: RPCError.Code) {
    for endStream in [true, false] {
      let (_, end) = state([([(":status", status), ("content-type", "text/html")], endStream)])
      guard case .failed(let error) = end else { return #expect(Bool(false), "\(end)") }
      #expect(error.code == code)
      #expect(error.origin == .local)
    }
  }

  @Test(
    "a content-type that is not application/grpc, with + or ; behind it, is no gRPC",
    arguments: [
      ("application/grpc", true), ("application/grpc+proto", true),
      ("application/grpc;charset=x", true), ("application/grpcx", false), ("text/html", false),
      ("", false),
    ])
  func contentType(type: String, isGRPC: Bool) {
    let (_, end) = state([([(":status", "200"), ("content-type", type)], false)])
    switch end {
    case .headers: #expect(isGRPC)
    case .failed(let error):
      #expect(!isGRPC)
      #expect(error.code == .unknown)
    default: #expect(Bool(false), "\(end)")
    }
  }

  @Test("a grpc-status goes before everything else that is wrong with the answer")
  func statusWins() {
    let (_, end) = state([([(":status", "503"), ("grpc-status", "7")], true)])
    guard case .failed(let error) = end else { return #expect(Bool(false), "\(end)") }
    #expect(error.code == .permissionDenied)
  }

  @Test("trailers without grpc-status, or with one that nobody knows, are UNKNOWN")
  func badStatus() {
    for trailers in [[("x", "y")], [("grpc-status", "99")], [("grpc-status", "x")]] {
      let (_, end) = state([(good, false), (trailers, true)])
      guard case .failed(let error) = end else { return #expect(Bool(false), "\(end)") }
      #expect(error.code == .unknown)
    }
  }

  @Test("a second header block that does not end the stream is INTERNAL")
  func twoHeaders() {
    let (_, end) = state([(good, false), (good, false)])
    guard case .failed(let error) = end else { return #expect(Bool(false), "\(end)") }
    #expect(error.code == .internal)
  }

  @Test("a compressed message names its encoding, or the lack of one, as INTERNAL")
  func compressed() {
    let (with, _) = state([(good + [("grpc-encoding", "gzip")], false)])
    #expect(with.compressedMessage([]).code == .internal)
    #expect(with.compressedMessage([]).message.contains("gzip"))
    let (without, _) = state([(good, false)])
    #expect(without.compressedMessage(.all).message.contains("without grpc-encoding"))
  }
}

@Suite struct PickQueueTests {
  @Test("calls come out in the order they came, without those that left")
  func order() {
    var queue = PendingCalls<Int>(limit: 10)
    let tickets = (0..<5).compactMap { queue.add($0) }
    let gone = [queue.remove(tickets[1]), queue.remove(tickets[1])]
    #expect(gone == [1, nil])
    #expect(queue.count == 4)
    let rest = queue.takeAll()
    #expect(rest == [0, 2, 3, 4])
    #expect(queue.isEmpty)
    let next = queue.add(9)
    // Tickets of calls that were taken name nobody else.
    let late = [queue.remove(tickets[0]), queue.remove(tickets[4])]
    #expect(late == [nil, nil])
    let found = next.flatMap { queue.remove($0) }
    #expect(found == 9)
  }

  @Test("a full queue takes nobody, and has room again when one leaves")
  func limit() throws {
    var queue = PendingCalls<Int>(limit: 2)
    let first = queue.add(1)
    _ = queue.add(2)
    let refused = queue.add(3)
    #expect(refused == nil)
    queue.remove(try #require(first))
    _ = queue.add(3)
    let rest = queue.takeAll()
    #expect(rest == [2, 3])
  }

  @Test("calls are taken one by one, in the order they came, past those that left")
  func takesFirst() {
    var queue = PendingCalls<Int>(limit: .max)
    var random = SystemRandom()
    var expected: [(number: Int, ticket: PendingTicket)] = []
    var next = 0
    for _ in 0..<20_000 {
      switch Int.random(in: 0..<5, using: &random) {
      case 0...2:
        if let ticket = queue.add(next) { expected.append((next, ticket)) }
        next += 1
      case 3:
        let first = queue.takeFirst()
        #expect(first == expected.first?.number)
        if !expected.isEmpty { expected.removeFirst() }
      default:
        guard let index = expected.indices.randomElement(using: &random) else { continue }
        let removed = queue.remove(expected.remove(at: index).ticket)
        #expect(removed != nil)
      }
      #expect(queue.count == expected.count)
    }
    let rest = queue.takeAll()
    #expect(rest == expected.map(\.number))
    let none = queue.takeFirst()
    #expect(none == nil && queue.isEmpty)
  }

  @Test("one call that stays does not keep the places of those that left, and keeps its own")
  func holes() throws {
    var queue = PendingCalls<Int>(limit: .max)
    let head = queue.add(-1)
    let first = try #require(head)
    var most = 0
    for number in 0..<100_000 {
      if let ticket = queue.add(number) { queue.remove(ticket) }
      most = max(most, queue.slotCount)
    }
    #expect(most <= 2 * PendingCalls<Int>.fewHoles)
    let tickets = (0..<1_000).compactMap { queue.add($0) }
    for ticket in tickets.dropLast(3) { queue.remove(ticket) }
    let second = queue.remove(tickets[998])
    #expect(second == 998)
    let again = queue.remove(tickets[998])
    #expect(again == nil)
    let stayed = queue.remove(first)
    #expect(stayed == -1)
    let rest = queue.takeAll()
    #expect(rest == [997, 999])
  }
}

@Suite struct AcknowledgementWatchTests {
  private let ms: UInt64 = 1_000_000

  @Test(
    "a host that acknowledges nothing for the timeout is gone; bytes or acknowledgements save it")
  func verdicts() {
    func run(
      received: @escaping (UInt64) -> UInt64, acknowledged: @escaping (UInt64) -> UInt64?,
      roundTrip: UInt64 = 0
    ) -> UInt64? {
      var watch = AcknowledgementWatch(timeout: 700 * ms)
      // The connection had been idle for long.
      var due = watch.begin(now: 10_000 * ms)
      while due < 20_000 * ms {
        let now = due
        let verdict = watch.look(lastReceived: received(now), now: now) {
          acknowledged(now).map {
            TCPAcknowledgement(isAwaited: true, sinceLast: now - $0, roundTrip: roundTrip)
          }
        }
        switch verdict {
        case .look(let time): due = time
        case .gone: return now / ms
        }
      }
      return nil
    }
    #expect(run(received: { _ in 0 }, acknowledged: { _ in 0 }) == 10_700)
    #expect(run(received: { _ in 0 }, acknowledged: { _ in nil }) == nil)
    // Something is awaited at every look, and what was sent before is acknowledged.
    #expect(run(received: { _ in 0 }, acknowledged: { $0 - 20 * ms }) == nil)
    #expect(run(received: { $0 - 10 * ms }, acknowledged: { _ in 0 }) == nil)
    // Until 12 s all is well.
    let left = run(
      received: { min($0, 12_000 * ms) }, acknowledged: { min($0, 12_000 * ms) })
    #expect(left == 12_800)
    #expect(run(received: { _ in 0 }, acknowledged: { _ in 0 }, roundTrip: 200 * ms) == 11_600)
  }

  @Test("a look costs no system call while bytes come") func spares() {
    var watch = AcknowledgementWatch(timeout: 700 * ms)
    let due = watch.begin(now: 0)
    #expect(due == 100 * ms)
    _ = watch.look(lastReceived: 50 * ms, now: due) {
      Issue.record("asked though bytes came")
      return nil
    }
  }
}

@Suite struct LivenessTests {
  private let second: UInt64 = 1_000_000_000

  @Test("only a call that expired without any byte since it began asks")
  func asks() {
    var liveness = Liveness(timeout: second)
    let answer1 = liveness.callExpired(began: 5, lastReceived: 6, now: 10)
    #expect(!answer1)
    let answer2 = liveness.callExpired(began: 5, lastReceived: 5, now: 10)
    #expect(!answer2)
    let answer3 = liveness.callExpired(began: 5, lastReceived: 4, now: 10)
    #expect(answer3)
  }

  @Test("one PING at a time; silence until the look is death, any byte is life")
  func verdict() {
    var liveness = Liveness(timeout: second)
    let answer4 = liveness.callExpired(began: 5, lastReceived: 4, now: 10)
    #expect(answer4)
    let answer5 = liveness.callExpired(began: 6, lastReceived: 4, now: 11)
    #expect(!answer5)
    let answer6 = liveness.look(lastReceived: 4)
    #expect(answer6 == .dead)
    var other = Liveness(timeout: second)
    let answer7 = other.callExpired(began: 5, lastReceived: 4, now: 10)
    #expect(answer7)
    let answer8 = other.look(lastReceived: 10)
    #expect(answer8 == .alive)
    let answer9 = other.look(lastReceived: 4)
    #expect(answer9 == .alive)
  }

  @Test("no second PING within 10 s, nor within 310 s if the server sent no frames (A8)")
  func spacing() {
    let start = 100 * second
    func ask(after wait: UInt64, frames: Bool) -> Bool {
      var liveness = Liveness(timeout: second)
      _ = liveness.callExpired(began: start, lastReceived: 1, now: start)
      _ = liveness.look(lastReceived: start)
      if frames { liveness.frameReceived() }
      return liveness.callExpired(began: start + 1, lastReceived: start, now: start + wait)
    }
    #expect(!ask(after: 9 * second, frames: true))
    #expect(ask(after: 10 * second, frames: true))
    #expect(!ask(after: 309 * second, frames: false))
    #expect(ask(after: 310 * second, frames: false))
  }
}
