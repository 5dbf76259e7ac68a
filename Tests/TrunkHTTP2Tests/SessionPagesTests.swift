// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkWire

@testable import TrunkHTTP2

@Suite("Sessions in pages of their own")
struct SessionPagesTests {
  /// Pages from malloc, so that the address sanitizer watches their ends. What is given back is
  /// overwritten. `@unchecked Sendable`: one test has it.
  private final class Lender: SessionPages, @unchecked Sendable {
    private let lent: UnsafeMutableRawPointer
    private(set) var taken = 0
    private(set) var returned = 0
    private let isEmpty: Bool

    init(isEmpty: Bool = false) {
      self.isEmpty = isEmpty
      lent = .allocate(byteCount: SessionArena.size, alignment: 4096)
      lent.initializeMemory(as: UInt8.self, repeating: 0, count: SessionArena.size)
    }
    deinit { lent.deallocate() }

    func take() -> UnsafeMutableRawPointer? {
      taken += 1
      return isEmpty ? nil : lent
    }
    func release(_ pages: UnsafeMutableRawPointer) {
      returned += pages == lent ? 1 : 1_000
      lent.initializeMemory(as: UInt8.self, repeating: 0xee, count: SessionArena.size)
    }
    /// Pages of 4 KiB with anything in them.
    var used: Int {
      (0..<SessionArena.size / 4096).count { page in
        UnsafeRawBufferPointer(start: lent + page * 4096, count: 4096).contains { $0 != 0 }
      }
    }
  }

  @Test("an idle server's session uses one page of its slot, and gives the slot back once")
  func idle() {
    let lender = Lender()
    do {
      let pair = Pair(serverPages: lender)
      pair.pump()
      #expect(pair.server.settingsReceivedCalls == 1)
      #expect(lender.taken == 1 && lender.returned == 0)
      #expect(lender.used == 1)
    }
    #expect(lender.returned == 1)
  }

  @Test("tables that grow and blocks of several frames find room elsewhere, and are right")
  func growth() {
    let lender = Lender()
    do {
      let pair = Pair(
        client: { $0.maxHeaderListSize = 64 << 10 }, server: { $0.maxConcurrentStreams = 1_000 },
        serverPages: lender)
      pair.pump()
      // More streams than the first table has room for, and more fields than HPACK keeps.
      var logs: [StreamLog] = []
      for number in 0..<600 {
        let made = pair.client.request(["key-\(number % 97)": "value-\(number)"])
        #expect(made.stream != nil)
        logs.append(made.log)
      }
      pair.pump()
      #expect(pair.server.accepted.count == 600)
      for (number, log) in pair.server.accepted.enumerated() {
        #expect(log.fields["key-\(number % 97)"] == "value-\(number)")
      }
      // 20 KiB: HEADERS and CONTINUATION, the frame buffer's second part is malloc's.
      var long = Metadata()
      long.add(String(repeating: "x", count: 20_000), for: "long")
      for (number, stream) in pair.server.acceptedStreams.enumerated() {
        pair.server.session.headers.add(":status", "200")
        if number == 3 { pair.server.session.headers.add(long) }
        pair.server.session.respondAndEnd(stream)
      }
      pair.pump()
      #expect(logs.allSatisfy { $0.fields[":status"] == "200" })
      #expect(logs[3].fields["long"]?.count == 20_000)
      #expect(lender.used > 1)
    }
    #expect(lender.returned == 1)
  }

  @Test("a session that finds no pages lies in malloc's memory")
  func without() {
    let lender = Lender(isEmpty: true)
    do {
      let pair = Pair(serverPages: lender)
      pair.pump()
      #expect(pair.client.settingsReceivedCalls == 1)
    }
    #expect(lender.taken == 1 && lender.returned == 0)
  }
}
