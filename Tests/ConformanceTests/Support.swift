// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Synchronization
import Testing
import TrunkTesting
import Trunkcall

/// Handlers that do one thing each, in bytes.
final class ProbeService: RPCService {
  let ended = Atomic<Int>(0)
  let cancelled = Atomic<Int>(0)

  static func method(_ name: String) -> MethodDescriptor<[UInt8], [UInt8]> {
    MethodDescriptor(service: "t.Probe", method: name, request: .bytes, response: .bytes)
  }

  func register(in table: inout MethodTable) {
    table.unary(ProbeService.method("Echo")) { payload, _ in payload }
    table.unary(ProbeService.method("Fail")) { payload, _ in
      throw RPCError(
        RPCError.Code(rawValue: Int(payload.first ?? 2)) ?? .unknown,
        String(decoding: payload.dropFirst(), as: UTF8.self), metadata: ["k": "v"])
    }
    table.unary(
      MethodDescriptor<[UInt8], [UInt8]>(
        service: "t.Probe", method: "Unreadable", request: .unreadable, response: .bytes)
    ) { payload, _ in payload }
    table.unary(ProbeService.method("Crash")) { _, _ in throw Unreadable() }
    table.unary(ProbeService.method("GiveUp")) { _, _ in throw CancellationError() }
    table.unary(ProbeService.method("Metadata")) { _, call in Array("\(call.metadata)".utf8) }
    table.unary(ProbeService.method("Binary")) { _, call in
      Array("\(call.metadata[binary: "x-bin"])".utf8)
    }
    table.unary(ProbeService.method("Milliseconds")) { _, call in
      let left = call.timeRemaining.map { "\(Int64($0 / .milliseconds(1)))" }
      return Array((left ?? "none").utf8)
    }
    table.unary(ProbeService.method("Trailing")) { payload, call in
      // One name with as many bytes as the request asks for.
      let size = payload.reduce(0) { $0 << 8 | Int($1) }
      try call.addTrailingMetadata(["x": String(repeating: "y", count: size)])
      return payload
    }
    table.unary(ProbeService.method("Initial")) { payload, call in
      let size = payload.reduce(0) { $0 << 8 | Int($1) }
      try call.addInitialMetadata(["x": String(repeating: "y", count: size)])
      return payload
    }
    table.unary(ProbeService.method("Wait")) { payload, _ in
      do { try await Task.sleep(for: .seconds(30)) } catch {
        self.cancelled.add(1, ordering: .relaxed)
        throw error
      }
      return payload
    }
    table.serverStreaming(ProbeService.method("Flood")) { _, replies, _ in
      do {
        for _ in 0..<100_000 { try await replies.write([UInt8](repeating: 1, count: 16 * 1024)) }
      } catch {
        self.cancelled.add(1, ordering: .relaxed)
        throw error
      }
    }
    table.serverStreaming(ProbeService.method("None")) { _, _, _ in }
    table.clientStreaming(ProbeService.method("First")) { requests, _ in
      for try await request in requests { return request }
      return []
    }
    table.clientStreaming(ProbeService.method("Ignore")) { _, _ in
      do { try await Task.sleep(for: .seconds(30)) } catch {
        self.cancelled.add(1, ordering: .relaxed)
        throw error
      }
      return []
    }
    table.clientStreaming(ProbeService.method("Count")) { requests, _ in
      var count = 0
      for try await _ in requests { count += 1 }
      return Array("\(count)".utf8)
    }
    table.bidirectional(ProbeService.method("Chat")) { requests, replies, _ in
      do {
        for try await request in requests { try await replies.write(request) }
        self.ended.add(1, ordering: .relaxed)
      } catch {
        self.cancelled.add(1, ordering: .relaxed)
        throw error
      }
    }
  }
}

struct Unreadable: Error {}

extension Codec where Message == [UInt8] {
  /// Takes no bytes for a message.
  static var unreadable: Codec {
    Codec(encode: { [0, 0, 0, 0, 0] + $0 }, decode: { _ in throw Unreadable() })
  }
}

/// A server for the length of a test; stopped at once, as peers that read no more would hold up a
/// graceful stop.
func withServer(
  _ services: [any RPCService] = [ProbeService()], options: ServerOptions = ServerOptions(),
  _ body: (GRPCServer, UInt16) async throws -> Void
) async throws {
  let server = GRPCServer(on: .tcp("127.0.0.1", 0), services: services, options: options)
  let running = Task { try await server.run() }
  guard case .host(_, let port)? = try await server.listeningAddresses().first else { return }
  defer { running.cancel() }
  try await body(server, port)
  running.cancel()
  try await running.value
}

/// True as soon as `condition` holds.
func holds(within: Duration = .seconds(10), _ condition: () async throws -> Bool) async throws
  -> Bool
{
  let end = ContinuousClock.now + within
  while ContinuousClock.now < end {
    if try await condition() { return true }
    try await Task.sleep(for: .milliseconds(5))
  }
  return false
}

func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

/// What a call came to; nil for OK.
func failure(_ body: () async throws -> Void) async -> RPCError? {
  do {
    try await body()
    return nil
  } catch let error as RPCError {
    return error
  } catch {
    Issue.record("\(error)")
    return nil
  }
}

/// A method of the scripted servers.
func method(_ name: String) -> MethodDescriptor<[UInt8], [UInt8]> {
  MethodDescriptor(service: "t.S", method: name, request: .bytes, response: .bytes)
}

/// A channel to a server that the test scripts, frame by frame.
func withScriptedServer(
  options: ChannelOptions = ChannelOptions(),
  _ body: (GRPCChannel, ScriptedPeerListener) async throws -> Void
) async throws {
  let listener = try await ScriptedPeerListener.listen()
  defer { listener.close() }
  var options = options
  // A scripted server that does not end its calls holds nobody up.
  options.closeDeadline = .milliseconds(100)
  try await withChannel(to: "ipv4:127.0.0.1:\(listener.port)", options: options) { channel in
    try await body(channel, listener)
  }
}
