// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

import ProcessSupport
import Testing
import TrunkTesting

/// One way to hurt a server, again and again on new connections.
struct Attack: Sendable, CustomTestStringConvertible {
  let name: String
  /// One connection's worth; returns when the server has had enough, or the attacker.
  let strike: @Sendable (_ port: UInt16) async throws -> Void

  var testDescription: String { name }

  init(_ name: String, _ strike: @escaping @Sendable (_ port: UInt16) async throws -> Void) {
    self.name = name
    self.strike = strike
  }

  private typealias Peer = ScriptedPeer
  private static let echo = ScriptedPeer.request("/t.Attacked/Echo")
  private static let wait = ScriptedPeer.request("/t.Attacked/Wait")

  /// A connection that floods one frame beside an open stream, and reads what comes.
  private static func flooding(_ name: String, _ frames: [ScriptedFrame], times: Int) -> Attack {
    Attack(name) { port in
      let peer = try await Peer.connect(port: port)
      try await peer.send(.headers(1, ScriptedPeer.request("/t.Attacked/Collect")))
      async let reading = peer.rest()
      await peer.flood(frames, times: times)
      await peer.close()
      _ = try? await reading
    }
  }

  static let all: [Attack] = [
    flooding("PING flood (CVE-2019-9512)", [.ping([1, 2, 3, 4, 5, 6, 7, 8])], times: 50_000),
    flooding(
      "priority churn (CVE-2019-9513)",
      [.raw(type: 2, flags: 0, stream: 1, payload: [0, 0, 0, 0, 7])], times: 50_000),
    flooding(
      "SETTINGS flood (CVE-2019-9515)", [.settings([.initialWindowSize(1_000)])], times: 50_000),
    flooding("empty frames (CVE-2019-9518)", [.data(1, [])], times: 50_000),
    flooding(
      "padding only",
      [.raw(type: 0, flags: 8, stream: 1, payload: [200] + [UInt8](repeating: 0, count: 200))],
      times: 20_000),
    flooding(
      "unknown frames", [.raw(type: 0xcc, flags: 1, stream: 1, payload: [1])], times: 50_000),
    flooding("WINDOW_UPDATE flood", [.windowUpdate(0, 1)], times: 50_000),
    flooding(
      "large SETTINGS (CVE-2020-11080)",
      [.settings((0..<2_000).map { ScriptedSetting(UInt16($0 & 7), 1) })], times: 20),
    flooding(
      "zero-length headers (CVE-2019-9516)",
      [.headers(3, [ScriptedHeader("", ""), ScriptedHeader("", "")])], times: 1_000),
    Attack("rapid reset (CVE-2023-44487)") { port in
      let peer = try await Peer.connect(port: port)
      async let reading = peer.rest()
      await peer.flood(times: 20_000) { turn in
        let stream = Peer.stream(turn)
        return [.headers(stream, echo, endStream: false), .reset(stream, 8)]
      }
      await peer.close()
      _ = try? await reading
    },
    Attack("reset of running calls (CVE-2019-9514, CVE-2023-39325)") { port in
      let peer = try await Peer.connect(port: port)
      async let reading = peer.rest()
      await peer.flood(times: 5_000) { turn in
        let stream = Peer.stream(turn)
        return [
          .headers(stream, wait), .data(stream, Peer.message([1]), endStream: true),
          .reset(Peer.stream(turn - 20), 8),
        ].filter { $0.stream > 0 }
      }
      await peer.close()
      _ = try? await reading
    },
    Attack("MadeYouReset (CVE-2025-8671)") { port in
      let peer = try await Peer.connect(port: port)
      async let reading = peer.rest()
      await peer.flood(times: 5_000) { turn in
        let stream = Peer.stream(turn)
        return [
          .headers(stream, wait), .data(stream, Peer.message([1]), endStream: true),
          .windowUpdate(stream, 0x7fff_ffff),
        ]
      }
      await peer.close()
      _ = try? await reading
    },
    Attack("CONTINUATION flood (CVE-2024-28182, 2024-27316)") { port in
      let peer = try await Peer.connect(port: port)
      async let reading = peer.rest()
      let block = Array(ScriptedFrame.headers(1, echo).bytes.dropFirst(9))
      try? await peer.send(.raw(type: 1, flags: 0, stream: 1, payload: block))
      let field: [UInt8] = [0, 1, UInt8(ascii: "a"), 1, UInt8(ascii: "b")]
      await peer.flood([.raw(type: 9, flags: 0, stream: 1, payload: field)], times: 20_000)
      await peer.close()
      _ = try? await reading
    },
    Attack("header list of many small fields (CVE-2022-41723, 2023-33953)") { port in
      let peer = try await Peer.connect(port: port)
      async let reading = peer.rest()
      // Indexed with a name of 3,000 bytes, then referred to by one byte each, 13,000 times.
      let name: [UInt8] =
        [0x40, 127, 0xb9, 0x16] + [UInt8](repeating: UInt8(ascii: "a"), count: 2_999)
      let block = name + [1, UInt8(ascii: "b")] + [UInt8](repeating: 0xbe, count: 13_000)
      await peer.flood(times: 200) { turn in
        [.raw(type: 1, flags: 5, stream: Peer.stream(turn), payload: block)]
      }
      await peer.close()
      _ = try? await reading
    },
    Attack("headers that kill (CVE-2023-1428, 2023-32732, 2024-7246)") { port in
      let peer = try await Peer.connect(port: port)
      async let reading = peer.rest()
      let large = String(repeating: "x", count: 9_000)
      await peer.flood(times: 400) { turn in
        let stream = Peer.stream(turn)
        let bad = [("te", large), ("x-bin", "***"), ("grpc-timeout", "x"), ("x-bin", large)][
          turn % 4]
        return [
          .headers(
            stream, Peer.request("/t.Attacked/Echo", [ScriptedHeader(bad.0, bad.1)]),
            endStream: true)
        ]
      }
      await peer.close()
      _ = try? await reading
    },
    Attack("claims of long messages (CVE-2024-37168)") { port in
      let peer = try await Peer.connect(port: port)
      async let reading = peer.rest()
      await peer.flood(times: 100) { turn in
        let stream = Peer.stream(turn)
        return [.headers(stream, echo), .data(stream, [0, 0, 0x3f, 0xff, 0xff, 1])]
      }
      try await Task.sleep(for: .milliseconds(50))
      await peer.close()
      _ = try? await reading
    },
    Attack("extension frames after termination (CVE-2026-27135)") { port in
      let peer = try await Peer.connect(port: port)
      async let reading = peer.rest()
      try? await peer.send(.data(0, [1]))
      await peer.flood(
        [
          .raw(type: 0xa, flags: 0, stream: 0, payload: [0, 1, 97, 98]),
          .raw(type: 0x10, flags: 0, stream: 0, payload: [0, 0, 0, 1, 117]),
        ], times: 2_000)
      await peer.close()
      _ = try? await reading
    },
    Attack("paths that bypass (CVE-2026-33186)") { port in
      let peer = try await Peer.connect(port: port)
      async let reading = peer.rest()
      await peer.flood(times: 100) { turn in
        [.headers(Peer.stream(turn), Peer.request("t.Attacked/Echo"), endStream: true)]
      }
      await peer.close()
      _ = try? await reading
    },
    Attack("data dribble (CVE-2019-9511)") { port in
      let peer = try await Peer.connect(port: port, settings: [.initialWindowSize(0)])
      async let reading = peer.rest()
      for call in 0..<50 {
        try? await peer.call(
          Peer.stream(call), "/t.Attacked/Reply", messages: [Array("1000000".utf8)])
      }
      // A byte at a time.
      await peer.flood(times: 2_000) { [.windowUpdate(Peer.stream($0 % 50), 1)] }
      await peer.close()
      _ = try? await reading
    },
    Attack("internal buffering (CVE-2019-9517)") { port in
      // HTTP/2's windows are wide open, TCP's is shut.
      let peer = try await StubbornPeer.connect(
        port: port, settings: [.initialWindowSize(0x7fff_ffff)])
      await peer.send(ScriptedFrame.windowUpdate(0, 0x7fff_0000).bytes)
      for call in 0..<50 {
        let stream = Peer.stream(call)
        await peer.send(
          ScriptedFrame.headers(stream, Peer.request("/t.Attacked/Stream")).bytes
            + ScriptedFrame.data(stream, Peer.message(Array("100000".utf8)), endStream: true).bytes)
      }
      try await Task.sleep(for: .milliseconds(300))
    },
    Attack("half-open connections") { port in
      var peers: [ScriptedPeer] = []
      for turn in 0..<50 {
        let peer = try await Peer.connect(port: port, preface: false, answersByItself: false)
        if turn % 2 == 0 { try? await peer.send(raw: Array("PRI * HTTP/2".utf8)) }
        peers.append(peer)
      }
      try await Task.sleep(for: .milliseconds(50))
      for peer in peers { await peer.close() }
    },
    Attack("garbage") { port in
      let peer = try await Peer.connect(port: port, preface: false, answersByItself: false)
      async let reading = peer.rest()
      try? await peer.send(raw: (0..<10_000).map { UInt8(truncatingIfNeeded: $0 &* 31) })
      await peer.close()
      _ = try? await reading
    },
  ]
}
