// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Glibc
import Testing
import TrunkSockets
import TrunkTesting

@testable import Trunkcall

/// Figures that need a quiet machine; Scripts/measure-dispatch asks for them.
@Suite(
  "Dispatch, measured", .serialized, .enabled(if: getenv("TRUNKCALL_MEASURE") != nil),
  .timeLimit(.minutes(2)))
struct ServerDispatchFigures {
  private let service = AdHocService(unary: [
    "Echo": { payload, _ in payload },
    // 1 ms of this thread's CPU, whatever the machine does beside it.
    "Burn": { payload, _ in
      let end = threadTime() + 1_000_000
      while threadTime() < end {}
      return payload
    },
    "Block": { payload, _ in
      usleep(2_000_000)
      return payload
    },
  ])

  /// The client has a thread of its own: on the global pool it would queue behind the handlers.
  private func measure(_ body: (GRPCServer, UInt16) async throws -> Void) async throws {
    try await withServer([service]) { server, port in
      let own = try EventLoopGroup(loops: 1)
      defer { own.shutdown() }
      try await withTaskExecutorPreference(own.loops[0].tasks) { try await body(server, port) }
    }
  }

  @Test("one connection, 64 streams, handlers that burn 1 ms each: both cores are used")
  func cores() async throws {
    try await measure { server, port in
      let peer = try await ScriptedPeer.connect(port: port)
      try await peer.send(.windowUpdate(0, 1 << 24))
      var stream: Int32 = 1
      // In batches, or the client would need much of a core itself.
      func begin(_ calls: Int) async throws {
        var bytes: [UInt8] = []
        for _ in 0..<calls {
          bytes += ScriptedFrame.headers(stream, ScriptedPeer.request("/t.AdHoc/Burn")).bytes
          bytes += ScriptedFrame.data(stream, ScriptedPeer.message([1]), endStream: true).bytes
          stream += 2
        }
        try await peer.send(raw: bytes)
      }
      func end(_ calls: Int) async throws {
        var left = calls
        while left > 0, let frame = try await peer.next() {
          if case .headers(_, _, endStream: true) = frame { left -= 1 }
        }
      }
      try await begin(64)
      while server.statistics.movedMethods.isEmpty {
        try await end(16)
        try await begin(16)
      }
      let start = Clock.now()
      var calls = 0
      while Clock.now() - start < 5_000_000_000 {
        try await end(16)
        try await begin(16)
        calls += 16
      }
      let cores = Double(calls) * 1_000_000 / Double(Clock.now() - start)
      print("dispatch: \(calls / 5) calls/s of 1 ms on one connection: \(cores) cores in handlers")
      #expect(cores >= 1.6)
      await peer.close()
    }
  }

  @Test("one handler that blocks 2 s again and again: its neighbours' p99 stays under 50 ms")
  func neighbours() async throws {
    try await measure { server, port in
      let peer = try await ScriptedPeer.connect(port: port)
      var stream: Int32 = 1
      while server.statistics.movedMethods.isEmpty {
        try await peer.call(stream, "/t.AdHoc/Block", messages: [[1]])
        _ = try await peer.response(stream)
        stream += 2
      }
      var times: [UInt64] = []
      for _ in 0..<4 {
        let blocked = stream
        try await peer.call(blocked, "/t.AdHoc/Block", messages: [[1]])
        let until = Clock.now() + 2_000_000_000
        while Clock.now() < until {
          stream += 2
          let start = Clock.now()
          try await peer.call(stream, "/t.AdHoc/Echo", messages: [[1]])
          _ = try await peer.response(stream)
          times.append(Clock.now() - start)
          try await Task.sleep(for: .milliseconds(2))
        }
        _ = try await peer.response(blocked)
        stream += 2
      }
      times.sort()
      let p99 = times[times.count * 99 / 100]
      print(
        "dispatch: \(times.count) neighbours of a blocked handler: p50 \(times[times.count / 2] / 1_000) us, "
          + "p99 \(p99 / 1_000) us, worst \((times.last ?? 0) / 1_000) us")
      #expect(p99 < 50_000_000)
      await peer.close()
    }
  }
}

/// CPU nanoseconds of the calling thread.
private func threadTime() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
