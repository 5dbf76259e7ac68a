// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
private import TrunkHTTP2
private import TrunkSockets

/// An HTTP/2 client or server that sends exactly the frames of a test, and returns the received
/// ones one by one.
///
///     let peer = try await ScriptedPeer.connect(port: port)
///     try await peer.send(.headers(1, ScriptedPeer.request("/pkg.Service/Method")))
///     try await peer.send(.data(1, ScriptedPeer.message([1, 2, 3]), endStream: true))
///     #expect(try await peer.response(1).status == 0)
///
/// The other role, for a client under test, comes from ``ScriptedPeerListener``:
///
///     let listener = try await ScriptedPeerListener.listen()
///     // … the client connects to listener.port and makes a call …
///     let peer = try await listener.accept()
///     let request = try await peer.request()
///     try await peer.answer(request.stream, messages: [[4, 5]])
///
/// It acknowledges SETTINGS and PING by itself unless a test turns that off; window updates are the
/// test's. One task reads at a time. Nothing it sends is checked: it is made to send wrong frames.
public actor ScriptedPeer {
  /// The other side violated HTTP/2's framing, or nothing was received in time.
  public struct Failure: Error, Sendable, CustomStringConvertible {
    /// What happened, in one line.
    public let description: String
  }

  private let stream: ByteStream
  private let inflater: HeaderInflater
  private let answersByItself: Bool
  private let returnsCredit: Bool
  private var inbound: [UInt8] = []
  private var offset = 0
  /// Frames read while waiting for others.
  private var skipped: [ScriptedFrame] = []
  private var isSending = false
  private var senders: [CheckedContinuation<Void, Never>] = []

  /// How long a read waits before it fails.
  public static let timeout: Duration = .seconds(10)
  private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

  fileprivate init(_ stream: ByteStream, answersByItself: Bool, returnsCredit: Bool) throws {
    self.stream = stream
    self.answersByItself = answersByItself
    self.returnsCredit = returnsCredit
    inflater = try HeaderInflater()
  }

  // MARK: Making one

  /// A client: sends the preface and `settings`.
  /// - Parameters:
  ///   - preface: false sends nothing.
  ///   - answersByItself: acknowledges SETTINGS and PING. Default true.
  ///   - returnsCredit: adds the bytes of each DATA frame to both windows again. Default false.
  public static func connect(
    host: String = "127.0.0.1", port: UInt16, preface: Bool = true,
    settings: [ScriptedSetting] = [], answersByItself: Bool = true, returnsCredit: Bool = false
  ) async throws -> ScriptedPeer {
    try await connect(.host(host, port), preface, settings, answersByItself, returnsCredit)
  }

  /// A client on a unix socket.
  public static func connect(
    unix path: String, settings: [ScriptedSetting] = []
  ) async throws -> ScriptedPeer {
    try await connect(.unix(path), true, settings, true, false)
  }

  private static func connect(
    _ destination: Destination, _ preface: Bool, _ settings: [ScriptedSetting],
    _ answersByItself: Bool, _ returnsCredit: Bool
  ) async throws -> ScriptedPeer {
    let stream = try await ByteStream.connect(
      to: destination, on: EventLoopGroup.shared.next(), timeout: timeout)
    let peer = try ScriptedPeer(
      stream, answersByItself: answersByItself, returnsCredit: returnsCredit)
    if preface {
      try await peer.send(raw: ScriptedPeer.preface + ScriptedFrame.settings(settings).bytes)
    }
    return peer
  }

  /// The server's side for a client under test: reads its preface, sends `settings`.
  fileprivate func beginAsServer(_ settings: [ScriptedSetting]?) async throws {
    while inbound.count < ScriptedPeer.preface.count {
      guard try await readMore() else { throw Failure(description: "closed before the preface") }
    }
    guard inbound.starts(with: ScriptedPeer.preface) else {
      throw Failure(description: "not an HTTP/2 preface")
    }
    offset = ScriptedPeer.preface.count
    if let settings { try await send(.settings(settings)) }
  }

  // MARK: Sending

  /// Sends frames in order.
  /// - Throws: if the connection is closed.
  public func send(_ frames: ScriptedFrame...) async throws { try await send(frames) }

  /// Sends frames in order.
  /// - Throws: if the connection is closed.
  public func send(_ frames: [ScriptedFrame]) async throws {
    try await send(raw: frames.flatMap(\.bytes))
  }

  /// Sends any bytes.
  /// - Throws: if the connection is closed.
  public func send(raw bytes: [UInt8]) async throws {
    // An automatic acknowledgement must not come between the bytes of one send.
    while isSending { await withCheckedContinuation { senders.append($0) } }
    isSending = true
    defer {
      isSending = false
      if !senders.isEmpty { senders.removeFirst().resume() }
    }
    try await stream.write(bytes, timeout: ScriptedPeer.timeout)
  }

  /// Closes the connection without GOAWAY.
  public func close() { stream.close() }

  // MARK: Receiving

  /// The next frame, of any kind; nil if the other side has closed.
  /// - Throws: ``Failure`` if nothing is received within ``timeout``.
  public func next() async throws -> ScriptedFrame? {
    if !skipped.isEmpty { return skipped.removeFirst() }
    return try await receive()
  }

  /// The next frame that `isWanted`; those before it are kept for later.
  public func next(
    where isWanted: @Sendable (ScriptedFrame) -> Bool
  ) async throws -> ScriptedFrame? {
    if let index = skipped.firstIndex(where: isWanted) { return skipped.remove(at: index) }
    while let frame = try await receive() {
      if isWanted(frame) { return frame }
      skipped.append(frame)
    }
    return nil
  }

  /// Reads until the other side closes, and returns the rest, unread frames included.
  public func rest() async throws -> [ScriptedFrame] {
    var frames: [ScriptedFrame] = []
    while let frame = try await next() { frames.append(frame) }
    return frames
  }

  private func receive() async throws -> ScriptedFrame? {
    guard let head = try await take(9) else { return nil }
    let length = Int(number(head[0..<3]))
    guard let payload = try await take(length) else {
      throw Failure(description: "the connection ended in the middle of a frame")
    }
    let frame = try await parse(
      type: head[3], flags: head[4], stream: Int32(bitPattern: number(head[5...]) & 0x7fff_ffff),
      payload)
    if answersByItself {
      switch frame {
      // Sending may fail: a side that has closed may still have sent something to read.
      case .settings: try? await send(.settingsAck)
      case .ping(let payload, false): try? await send(.ping(payload, ack: true))
      default: break
      }
    }
    if returnsCredit, case .data(let id, let bytes, let endStream) = frame, !bytes.isEmpty {
      let count = UInt32(bytes.count)
      try? await send(endStream ? [] : [.windowUpdate(id, count)])
      try? await send(.windowUpdate(0, count))
    }
    return frame
  }

  /// A DATA or HEADERS payload without its padding (RFC 9113 §6.1).
  private func content(_ payload: [UInt8], _ flags: UInt8) throws -> [UInt8] {
    guard flags & 8 != 0 else { return payload }
    guard let padding = payload.first, Int(padding) < payload.count else {
      throw Failure(description: "a frame with more padding than payload")
    }
    return Array(payload[1..<(payload.count - Int(padding))])
  }

  private func parse(
    type: UInt8, flags: UInt8, stream: Int32, _ payload: [UInt8]
  ) async throws -> ScriptedFrame {
    let endStream = flags & 1 != 0
    switch type {
    case 0: return .data(stream, try content(payload, flags), endStream: endStream)
    case 1:
      // The priority (five bytes before the block, RFC 9113 §6.2) is ignored.
      var block = Array(try content(payload, flags).dropFirst(flags & 0x20 == 0 ? 0 : 5))
      var isComplete = flags & 4 != 0
      while !isComplete {
        guard let head = try await take(9), head[3] == 9,
          let more = try await take(Int(number(head[0..<3])))
        else { throw Failure(description: "a header block without its end") }
        block += more
        isComplete = head[4] & 4 != 0
      }
      let fields = try inflater.inflate(block).map {
        ScriptedHeader(
          String(decoding: $0.name, as: UTF8.self), String(decoding: $0.value, as: UTF8.self))
      }
      return .headers(stream, fields, endStream: endStream)
    case 3 where payload.count == 4: return .reset(stream, number(payload))
    case 4 where endStream: return .settingsAck
    case 4:
      return .settings(
        stride(from: 0, to: payload.count - payload.count % 6, by: 6).map {
          ScriptedSetting(
            UInt16(payload[$0]) << 8 | UInt16(payload[$0 + 1]), number(payload[($0 + 2)...]))
        })
    case 6: return .ping(payload, ack: endStream)
    case 7 where payload.count >= 8:
      return .goAway(
        lastStream: Int32(bitPattern: number(payload) & 0x7fff_ffff), code: number(payload[4...]),
        debug: String(decoding: payload[8...], as: UTF8.self))
    case 8 where payload.count == 4: return .windowUpdate(stream, number(payload))
    default: return .raw(type: type, flags: flags, stream: stream, payload: payload)
    }
  }

  /// Exactly `count` bytes; nil at the end of the stream.
  private func take(_ count: Int) async throws -> [UInt8]? {
    while inbound.count - offset < count {
      guard try await readMore() else { return nil }
    }
    defer { offset += count }
    return Array(inbound[offset..<(offset + count)])
  }

  private func readMore() async throws -> Bool {
    if offset > 1 << 20 {
      inbound.removeFirst(offset)
      offset = 0
    }
    do {
      let chunk = try await stream.read(timeout: ScriptedPeer.timeout)
      inbound += chunk
      return !chunk.isEmpty
    } catch let error as SocketError where error.isTimeout {
      throw Failure(description: "nothing came for \(ScriptedPeer.timeout)")
    } catch is SocketError {
      return false  // a reset of the connection is its end as well
    }
  }
}

/// Accepts connections of clients under test as ``ScriptedPeer``s.
public final class ScriptedPeerListener: Sendable {
  private let listener: ByteStreamListener

  private init(_ listener: ByteStreamListener) { self.listener = listener }

  /// Listens on 127.0.0.1; port 0 takes a free one.
  public static func listen(port: UInt16 = 0) async throws -> ScriptedPeerListener {
    ScriptedPeerListener(
      try await ByteStreamListener.listen(
        on: .host("127.0.0.1", port), loop: EventLoopGroup.shared.next()))
  }

  /// The bound port.
  public var port: UInt16 { listener.port }

  /// The next client: its preface is read, `settings` are sent.
  /// - Throws: ``ScriptedPeer/Failure`` if no client connects within ``ScriptedPeer/timeout``.
  /// - Parameters:
  ///   - settings: nil sends none, so that the handshake stays incomplete.
  ///   - answersByItself: acknowledges SETTINGS and PING. Default true.
  ///   - returnsCredit: adds the bytes of each DATA frame to both windows again. Default false.
  public func accept(
    settings: [ScriptedSetting]? = [], answersByItself: Bool = true, returnsCredit: Bool = false
  ) async throws -> ScriptedPeer {
    let peer = try ScriptedPeer(
      try await next(), answersByItself: answersByItself, returnsCredit: returnsCredit)
    try await peer.beginAsServer(settings)
    return peer
  }

  /// Closes the listener; accepted connections stay open.
  public func close() { listener.close() }

  private func next() async throws -> ByteStream {
    let listener = listener
    return try await withThrowingTaskGroup(of: ByteStream.self) { group in
      group.addTask { try await listener.accept() }
      group.addTask {
        try await Task.sleep(for: ScriptedPeer.timeout)
        throw ScriptedPeer.Failure(description: "nobody connected for \(ScriptedPeer.timeout)")
      }
      defer { group.cancelAll() }
      guard let stream = try await group.next() else { throw CancellationError() }
      return stream
    }
  }
}
