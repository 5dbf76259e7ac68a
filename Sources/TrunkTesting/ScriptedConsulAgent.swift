// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Synchronization
private import TrunkSockets

/// A Consul agent that answers by a test's script, and records its requests.
///
///     let agent = try await ScriptedConsulAgent.start { request in
///       request["index"] == nil ? .json("[]", index: 12) : .hang
///     }
///     defer { agent.stop() }
///     // … "consul://\(agent.address)/service"
public final class ScriptedConsulAgent: Sendable {
  /// One request as received.
  public struct Request: Sendable, Hashable {
    /// `GET` or `PUT`, as sent.
    public var method: String
    /// Still percent-encoded.
    public var path: String
    /// Decoded names and values in order; a bare name has an empty value.
    public var query: [Pair]
    /// Names in lower case.
    public var headers: [String: String]
    /// The request's body; empty without one.
    public var body: [UInt8]
    /// The number of requests before it.
    public var number: Int
    /// The number of the connection it came on, from 0.
    public var connection: Int

    /// One parameter of a query.
    public struct Pair: Sendable, Hashable {
      /// Percent escapes decoded.
      public var name: String
      /// Percent escapes decoded; empty for a bare name.
      public var value: String
    }

    /// The first value of a query parameter.
    public subscript(name: String) -> String? { query.first { $0.name == name }?.value }
    /// The body as UTF-8.
    public var text: String { String(decoding: body, as: UTF8.self) }
  }

  /// What the agent does with a request.
  public struct Reaction: Sendable {
    enum Kind: Sendable {
      case bytes([[UInt8]], pause: Duration, close: Bool)
      case close
      case hang
    }
    let kind: Kind

    /// A JSON answer; without an index there is no X-Consul-Index header.
    public static func json(_ body: String, index: UInt64?, status: Int = 200) -> Reaction {
      .answer(status, headers: index.map { ["X-Consul-Index: \($0)"] } ?? [], body: body)
    }

    /// A whole answer with Content-Length.
    public static func answer(
      _ status: Int, headers: [String] = [], body: String = ""
    ) -> Reaction {
      let head =
        ["HTTP/1.1 \(status) Scripted", "Content-Length: \(body.utf8.count)"] + headers + ["", ""]
      return .raw([head.joined(separator: "\r\n") + body])
    }

    /// A JSON answer in HTTP chunks, one write each.
    public static func chunked(
      _ chunks: [String], index: UInt64, pause: Duration = .zero
    ) -> Reaction {
      let head =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Consul-Index: \(index)\r\n\r\n"
      let parts = chunks.map { "\(String($0.utf8.count, radix: 16))\r\n\($0)\r\n" }
      return .raw([head] + parts + ["0\r\n\r\n"], pause: pause)
    }

    /// Any bytes, in writes with a pause after each; then the connection may be closed.
    public static func raw(
      _ pieces: [String], pause: Duration = .zero, close: Bool = false
    ) -> Reaction {
      Reaction(kind: .bytes(pieces.map { Array($0.utf8) }, pause: pause, close: close))
    }

    /// Closes the connection without an answer.
    public static let close = Reaction(kind: .close)
    /// Sends nothing until the client closes the connection.
    public static let hang = Reaction(kind: .hang)
  }

  /// Gives the reaction to each request.
  public typealias Script = @Sendable (Request) async -> Reaction

  private struct State {
    var requests: [Request] = []
    var connections = 0
    var resets = 0
    var task: Task<Void, Never>?
  }
  private let listener: ByteStreamListener
  private let script: Script
  private let state = Locked(State())

  private init(_ listener: ByteStreamListener, _ script: @escaping Script) {
    self.listener = listener
    self.script = script
  }

  /// Listens on 127.0.0.1.
  /// - Parameters:
  ///   - port: 0 for a free one.
  ///   - script: called for each request; may suspend, and is cancelled with its connection.
  public static func start(
    port: UInt16 = 0, _ script: @escaping Script
  ) async throws -> ScriptedConsulAgent {
    let listener = try await ByteStreamListener.listen(
      on: .host("127.0.0.1", port), loop: EventLoopGroup.shared.next())
    let agent = ScriptedConsulAgent(listener, script)
    let task = Task { [weak agent] in
      await withDiscardingTaskGroup { group in
        while let stream = try? await listener.accept() {
          guard let agent, !Task.isCancelled else { return stream.close() }
          group.addTask { await agent.serve(stream) }
        }
      }
    }
    agent.state.withLock { $0.task = task }
    return agent
  }

  /// Answers one request after the other; the last answer is repeated.
  public static func start(
    port: UInt16 = 0, answering reactions: [Reaction]
  ) async throws -> ScriptedConsulAgent {
    try await start(port: port) { request in
      reactions.isEmpty ? .hang : reactions[min(request.number, reactions.count - 1)]
    }
  }

  deinit { stop() }

  /// The bound port.
  public var port: UInt16 { listener.port }
  /// `127.0.0.1:PORT`
  public var address: String { "127.0.0.1:\(port)" }
  /// All requests so far.
  public var requests: [Request] { state.withLock { $0.requests } }
  /// The number of connections accepted so far.
  public var connections: Int { state.withLock { $0.connections } }

  /// Closes the next `count` connections before their request is read, as an agent does at its
  /// limit of connections.
  public func resetConnections(_ count: Int) { state.withLock { $0.resets = count } }

  /// Closes all connections and the listener.
  public func stop() {
    listener.close()
    state.withLock { $0.task }?.cancel()
  }

  // MARK: One connection

  private func serve(_ stream: ByteStream) async {
    defer { stream.close() }
    let connection = state.withLock { state -> Int? in
      defer { state.connections += 1 }
      guard state.resets == 0 else {
        state.resets -= 1
        return nil
      }
      return state.connections
    }
    guard let connection else { return }
    var inbound = RequestReader()
    do {
      while var request = try await inbound.next(from: stream) {
        request.connection = connection
        request.number = state.withLock { state in
          defer { state.requests.append(request) }
          return state.requests.count
        }
        guard try await react(await script(request), on: stream) else { return }
      }
    } catch {
      // The client closed, or the test ended.
    }
  }

  /// Whether the connection is kept.
  private func react(_ reaction: Reaction, on stream: ByteStream) async throws -> Bool {
    switch reaction.kind {
    case .close: return false
    case .hang:
      while !(try await stream.read(timeout: nil)).isEmpty {}
      return false
    case .bytes(let pieces, let pause, let close):
      for piece in pieces {
        try await stream.write(piece, timeout: .seconds(10))
        if pause > .zero { try await Task.sleep(for: pause) }
      }
      return !close
    }
  }
}

/// Just enough of HTTP/1.1 to read a well-formed client's requests.
private struct RequestReader {
  private var buffer: [UInt8] = []

  mutating func next(from stream: ByteStream) async throws -> ScriptedConsulAgent.Request? {
    let headEnd = Array("\r\n\r\n".utf8)
    while true {
      if let end = buffer.indices.first(where: { buffer[$0...].starts(with: headEnd) }),
        var request = RequestReader.head(String(decoding: buffer[..<end], as: UTF8.self))
      {
        let length = request.headers["content-length"].flatMap { Int($0) } ?? 0
        if buffer.count >= end + 4 + length {
          request.body = Array(buffer[(end + 4)..<(end + 4 + length)])
          buffer.removeFirst(end + 4 + length)
          return request
        }
      }
      let more = try await stream.read(timeout: nil)
      if more.isEmpty { return nil }
      buffer += more
    }
  }

  private static func head(_ text: String) -> ScriptedConsulAgent.Request? {
    let lines = text.split(separator: "\r\n").map(String.init)
    guard let first = lines.first?.split(separator: " "), first.count == 3 else { return nil }
    let target = first[1].split(separator: "?", maxSplits: 1)
    let pairs = target.count > 1 ? target[1].split(separator: "&") : []
    var headers: [String: String] = [:]
    for line in lines.dropFirst() {
      guard let colon = line.firstIndex(of: ":") else { continue }
      let value = line[line.index(after: colon)...].drop { $0 == " " }
      headers[line[..<colon].lowercased()] = String(value)
    }
    return ScriptedConsulAgent.Request(
      method: String(first[0]), path: target.first.map(String.init) ?? "/",
      query: pairs.map { pair in
        let parts = pair.split(separator: "=", maxSplits: 1).map(String.init)
        return .init(
          name: ScriptedConsulAgent.decode(parts[0]),
          value: parts.count > 1 ? ScriptedConsulAgent.decode(parts[1]) : "")
      },
      headers: headers, body: [], number: 0, connection: 0)
  }
}

extension ScriptedConsulAgent {
  /// Percent escapes decoded.
  static func decode(_ text: String) -> String {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "%"),
        let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
      {
        bytes.append(value)
        rest = rest.dropFirst(2)
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
