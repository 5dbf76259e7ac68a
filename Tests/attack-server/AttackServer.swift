// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

import Glibc
import TrunkSockets
import TrunkWire
import Trunkcall

/// A server in a process of its own, so that what an attack costs it can be read from the system:
/// memory, descriptors; and from itself: handlers, events.
///
///     attack-server [streams=N] [handlers=N] [waiting=N] [unsent=BYTES] [connections=N] …
@main struct AttackServer {
  static func main() async throws {
    var options = ServerOptions()
    for argument in CommandLine.arguments.dropFirst() {
      let parts = argument.split(separator: "=", maxSplits: 1)
      guard parts.count == 2, let value = Int(parts[1]) else { fatalError("bad \(argument)") }
      switch parts[0] {
      case "streams": options.maxConcurrentStreams = value
      case "handlers": options.maxHandlersPerConnection = value
      case "waiting": options.maxWaitingCalls = value
      case "unsent": options.maxUnsentBytes = value
      case "connections": options.maxConnections = value
      case "handshake": options.handshakeTimeout = .milliseconds(value)
      case "headers": options.headerTimeout = .milliseconds(value)
      default: fatalError("unknown \(argument)")
      }
    }
    let statistics = Locked<GRPCServer?>(nil)
    let server = GRPCServer(
      on: .tcp("127.0.0.1", 0), services: [AttackedService(server: { statistics.withLock { $0 } })],
      options: options)
    statistics.withLock { $0 = server }
    let running = Task { try await server.run() }
    // Not through stdio, which would keep it.
    let line = Array("listening on \(try await server.listeningAddresses()[0])\n".utf8)
    _ = write(STDOUT_FILENO, line, line.count)
    try await running.value
  }
}

/// Holds whoever waits until it is opened, once.
private actor Gate {
  private var isOpen = false
  private var waiters: [CheckedContinuation<Void, Never>] = []

  func wait() async {
    if isOpen { return }
    await withCheckedContinuation { waiters.append($0) }
  }

  func open() {
    isOpen = true
    for waiter in waiters { waiter.resume() }
    waiters = []
  }
}

struct AttackedService: RPCService {
  private let gate = Gate()
  let server: @Sendable () -> GRPCServer?

  static func method(_ name: String) -> MethodDescriptor<[UInt8], [UInt8]> {
    MethodDescriptor(service: "t.Attacked", method: name, request: .bytes, response: .bytes)
  }

  func register(in table: inout MethodTable) {
    table.unary(AttackedService.method("Echo")) { payload, _ in payload }
    // As many bytes as the request says.
    table.unary(AttackedService.method("Reply")) { payload, _ in
      [UInt8](repeating: 1, count: Int(String(decoding: payload, as: UTF8.self)) ?? 0)
    }
    table.unary(AttackedService.method("Wait")) { payload, _ in
      try await Task.sleep(for: .seconds(60))
      return payload
    }
    // After as many milliseconds.
    table.unary(AttackedService.method("Hold")) { payload, _ in
      let time = Int(String(decoding: payload, as: UTF8.self)) ?? 0
      try await Task.sleep(for: .milliseconds(time))
      return payload
    }
    // Until `Release` is called.
    table.unary(AttackedService.method("Held")) { [gate] payload, _ in
      await gate.wait()
      return payload
    }
    table.unary(AttackedService.method("Release")) { [gate] payload, _ in
      await gate.open()
      return payload
    }
    // Messages of that size, without end.
    table.serverStreaming(AttackedService.method("Stream")) { payload, replies, _ in
      let size = Int(String(decoding: payload, as: UTF8.self)) ?? 0
      while true { try await replies.write([UInt8](repeating: 1, count: size)) }
    }
    table.clientStreaming(AttackedService.method("Collect")) { requests, _ in
      var count = 0
      for try await message in requests { count += message.count }
      return Array(String(count).utf8)
    }
    table.unary(AttackedService.method("Statistics")) { _, _ in
      guard let statistics = server()?.statistics else { return [] }
      let events = statistics.events.map { "\($0.key.rawValue)=\($0.value)" }.sorted()
      let text =
        "started=\(statistics.callsStarted) running=\(statistics.handlersRunning) "
        + "waiting=\(statistics.callsWaiting) connections=\(statistics.connections) "
        + events.joined(separator: " ")
      return Array(text.utf8)
    }
  }
}
