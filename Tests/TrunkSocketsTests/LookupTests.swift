// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Glibc
import Synchronization
import Testing

@testable import TrunkSockets

@Suite("Look-ups and addresses", .timeLimit(.minutes(1)))
struct LookupTests {
  @Test("localhost is this machine, with the port that was asked for")
  func localhost() async throws {
    let addresses = try await HostLookup.addresses(
      of: .host("localhost", 50_051), timeout: .seconds(10))
    let found = addresses.map(\.destination)
    #expect(!found.isEmpty)
    #expect(
      found.allSatisfy { [.host("127.0.0.1", 50_051), .host("::1", 50_051)].contains($0) })
  }

  @Test("a name that cannot exist (RFC 6761 .invalid) says which and why")
  func unknownName() async throws {
    let error = await #expect(throws: SocketError.self) {
      try await HostLookup.addresses(of: .host("no-such.invalid", 1), timeout: .seconds(20))
    }
    #expect(error?.description.hasPrefix("look-up of no-such.invalid: ") == true)
  }

  @Test("literals need no look-up and keep their form")
  func literals() throws {
    #expect(SocketAddress(ip: "10.1.2.3", port: 80)?.destination == .host("10.1.2.3", 80))
    #expect(SocketAddress(ip: "::1", port: 80)?.destination == .host("::1", 80))
    #expect(SocketAddress(ip: "name", port: 80) == nil)
    #expect(SocketAddress(bytes: [10, 1, 2, 3], port: 9)?.destination == .host("10.1.2.3", 9))
    let loopback = [UInt8](repeating: 0, count: 15) + [1]
    #expect(SocketAddress(bytes: loopback, port: 9)?.destination == .host("::1", 9))
    #expect(SocketAddress(bytes: [1, 2, 3], port: 9) == nil)
    #expect(try SocketAddress(unix: "/tmp/a").destination == .unix("/tmp/a"))
    #expect(try SocketAddress(unix: "a", abstract: true).destination == .unixAbstract("a"))
  }

  @Test("a zone is the name or number of an interface, kept by name; an unknown one is an error")
  func zones() throws {
    for zone in ["lo", "1"] {
      let address = SocketAddress(ip: "fe80::1%\(zone)", port: 80)
      #expect(address?.destination == .host("fe80::1%lo", 80))
    }
    #expect(SocketAddress(ip: "fe80::1%no-such", port: 80) == nil)
    #expect(SocketAddress(ip: "10.0.0.1%lo", port: 80) == nil)
    let error = #expect(throws: SocketError.self) {
      try HostLookup.literal(.host("fe80::1%no-such", 80))
    }
    #expect(error?.description == "fe80::1%no-such: no network interface has the name \"no-such\"")
  }

  @Test("a look-up of both families that hangs does not hold up what one family answers")
  func systemHangs() async throws {
    let v4 = SocketAddress(ip: "10.0.0.1", port: 7)
    let found = try await HostLookup.preferringUnblocked(headStart: .zero, delay: .zero) {
      try await Task.sleep(for: .seconds(3_600))
      return []
    } apart: { family in
      guard family == .v4 else {
        try? await Task.sleep(for: .seconds(3_600))
        return .success([])
      }
      return .success([v4].compactMap { $0 })
    } partial: { _ in
      false
    }
    #expect(found.map(\.destination) == [.host("10.0.0.1", 7)])
  }

  @Test("the look-up of both families has the last word, unless it fails after one family answered")
  func systemAnswersLate() async throws {
    let v4 = [SocketAddress(ip: "10.0.0.1", port: 7)].compactMap { $0 }
    let both = [SocketAddress(ip: "::5", port: 7)].compactMap { $0 } + v4
    for (late, expected) in [(both, both), (nil, v4)] {
      let (isPartial, partial) = AsyncStream.makeStream(of: Void.self)
      let found = try await HostLookup.preferringUnblocked(headStart: .zero, delay: .zero) {
        var iterator = isPartial.makeAsyncIterator()
        await iterator.next()
        guard let late else { throw SocketError.timedOut("look-up") }
        return late
      } apart: { family in
        .success(family == .v4 ? v4 : [])
      } partial: { addresses in
        #expect(addresses.map(\.destination) == v4.map(\.destination))
        partial.yield()
        return true
      }
      #expect(found.map(\.destination) == expected.map(\.destination))
    }
  }
}
