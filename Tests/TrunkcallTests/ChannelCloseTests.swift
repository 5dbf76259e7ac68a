// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Glibc
import Testing
import TrunkSockets
import TrunkTesting

@testable import Trunkcall

@Suite("Closing a channel whose server does not read", .timeLimit(.minutes(1)))
struct ChannelCloseTests {
  /// A listening socket whose connections say SETTINGS and read nothing more.
  private final class DeafServer: Sendable {
    let path = "/tmp/trunkcall-deaf-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    private let descriptor: Int32

    init() throws {
      descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | O_NONBLOCK, 0)
      var address = sockaddr_un()
      address.sun_family = sa_family_t(AF_UNIX)
      withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
      let bound = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
      }
      try #require(bound == 0 && listen(descriptor, 8) == 0)
    }

    deinit {
      close(descriptor)
      unlink(path)
    }

    /// Takes the next connection and leaves it alone.
    func accept() async throws -> Int32 {
      var connection = Glibc.accept(descriptor, nil, nil)
      while connection < 0 {
        try await Task.sleep(for: .milliseconds(5))
        connection = Glibc.accept(descriptor, nil, nil)
      }
      // SETTINGS_INITIAL_WINDOW_SIZE 1 GiB, and as much for the connection (RFC 9113 §6.5, §6.9).
      let frames: [UInt8] =
        [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0x40, 0, 0, 0]
        + [0, 0, 4, 8, 0, 0, 0, 0, 0, 0x40, 0, 0, 0]
      _ = write(connection, frames, frames.count)
      return connection
    }
  }

  private func channel(
    _ server: DeafServer, closeDeadline: Duration, sendTimeout: Duration = .seconds(30)
  ) throws -> GRPCChannel {
    var options = ChannelOptions()
    options.closeDeadline = closeDeadline
    options.sendTimeout = sendTimeout
    return try GRPCChannel(to: "unix:\(server.path)", options: options)
  }

  @Test("close() keeps its deadline, with calls under way and without", arguments: [true, false])
  func deadline(_ hasCall: Bool) async throws {
    let server = try DeafServer()
    let channel = try channel(server, closeDeadline: .milliseconds(300))
    channel.connect()
    let connection = try await server.accept()
    defer { close(connection) }
    try await channel.ready(within: .seconds(10))
    let call = try await channel.bidirectional(AdHocService.method("M"))
    let writer = Task {
      await failure {
        while true { try await call.requests.write([UInt8](repeating: 1, count: 60_000)) }
      }
    }
    // The socket is full: what waits behind it will never go.
    #expect(try await holds { await waitsForServer(channel) })
    if !hasCall {
      call.cancel()
      _ = await writer.value
    }
    let start = ContinuousClock.now
    await channel.close()
    #expect(ContinuousClock.now - start < .seconds(5))
    #expect(await writer.value?.code == .cancelled)
  }

  @Test("without a close the connection ends after the send timeout, its calls with UNAVAILABLE")
  func sendTimeout() async throws {
    let server = try DeafServer()
    let channel = try channel(
      server, closeDeadline: .milliseconds(100), sendTimeout: .milliseconds(300))
    channel.connect()
    let connection = try await server.accept()
    defer { close(connection) }
    try await channel.ready(within: .seconds(10))
    let call = try await channel.bidirectional(AdHocService.method("M"))
    let error = await failure {
      while true { try await call.requests.write([UInt8](repeating: 1, count: 60_000)) }
    }
    #expect(error?.code == .unavailable)
    #expect(error?.message.contains("took none of the bytes") == true)
    await channel.close()
  }

  private func waitsForServer(_ channel: GRPCChannel) async -> Bool {
    await withCheckedContinuation { continuation in
      channel.context.onControlLoop { controller in
        guard let connection = controller.openConnections.first else {
          return continuation.resume(returning: false)
        }
        connection.onLoop { continuation.resume(returning: ($0.socket?.unsentCount ?? 0) > 0) }
      }
    }
  }
}
