// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import StreamSupport
import TrunkHTTP2
import TrunkWire

/// A server session with an application on it, fed with a client's bytes: those of the input as
/// they are, or those that a program of frames makes.
@Sendable func fuzzServerSession(_ input: [UInt8]) {
  var choices = Choices(input)
  let isRaw = choices.byte() & 1 == 0
  let side = SessionUnderTest(.server, manner: choices.byte())
  side.feed(Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8))
  if isRaw {
    side.feedRaw(&choices)
  } else {
    side.feed(frame(4, 0, 0, []))
    var program = FrameProgram(choices, opens: Blocks.requests, answers: Blocks.trailers)
    while let step = program.next() { side.perform(step) }
  }
  side.end()
}

/// A client session with calls on it, fed with a server's bytes.
@Sendable func fuzzClientSession(_ input: [UInt8]) {
  var choices = Choices(input)
  let isRaw = choices.byte() & 1 == 0
  let side = SessionUnderTest(.client, manner: choices.byte())
  for _ in 0..<3 { side.openCall() }
  side.drain()
  if isRaw {
    side.feedRaw(&choices)
  } else {
    side.feed(frame(4, 0, 0, []))
    var program = FrameProgram(choices, opens: Blocks.responses, answers: Blocks.trailers)
    while let step = program.next() { side.perform(step) }
  }
  side.end()
}

/// One end of a connection without a socket, and an application that answers, writes and resets as
/// its manner says. Checks that every stream is closed exactly once.
private final class SessionUnderTest: HTTP2SessionDelegate {
  private let role: HTTP2Session.Role
  private let manner: UInt8
  private(set) lazy var session = HTTP2Session(
    role, settings: settings, delegate: self, abuse: budget)
  private var now: UInt64 = 0
  private var calls: [FuzzCall] = []
  private var sent = 0

  init(_ role: HTTP2Session.Role, manner: UInt8) {
    self.role = role
    self.manner = manner
    _ = session
  }

  private var settings: HTTP2Settings {
    var settings = HTTP2Settings()
    // Small, so that their ends are met.
    settings.maxConcurrentStreams = 4
    settings.initialWindowSize = 65_535
    settings.connectionWindowSize = 65_535
    settings.maxBufferedBytes = 2_000
    settings.maxHeaderListSize = 1_024
    return settings
  }

  /// Half of the servers hold their clients to a small budget.
  private var budget: AbuseBudget? {
    guard role == .server, manner & 1 != 0 else { return nil }
    return AbuseBudget(pings: PingPolicy(interval: 1_000_000_000, permitsWithoutCalls: false))
  }

  // MARK: Input

  func feed(_ bytes: [UInt8]) {
    now += 1_000_000
    bytes.withUnsafeBytes { session.receive($0, now: now) }
    drain()
  }

  func feedRaw(_ choices: inout Choices) {
    let sizes = choices.bytes(Int(choices.byte()) & 3)
    split(choices.all(), sizes) { feed($0) }
  }

  func perform(_ step: FrameProgram.Step) {
    switch step {
    case .bytes(let bytes, let sizes): split(bytes, sizes) { feed($0) }
    case .act(let kind, let index): act(kind, index)
    }
  }

  /// What the application does of its own accord.
  private func act(_ kind: UInt8, _ index: UInt8) {
    let call = calls.isEmpty ? nil : calls[Int(index) % calls.count]
    switch kind % 12 {
    case 0: call?.stream?.write([UInt8](repeating: 1, count: Int(index) * 300))
    case 1: call?.stream?.reset(HTTP2ErrorCode.cancel)
    case 2: call?.finish()
    case 3: call?.stream?.consume(call?.unread ?? 0)
    case 4: call?.stream?.consume(.max)
    case 5: session.ping(UInt64(index))
    case 6: session.announceShutdown()
    case 7: session.goAway(HTTP2ErrorCode.noError, "bye")
    case 8: if role == .client { openCall() } else { call?.respond() }
    case 9: call?.respond()
    case 10: session.close()
    default: drain(atMost: Int(index))
    }
    drain()
  }

  func openCall() {
    guard role == .client, calls.count < 100 else { return }
    session.headers.add(":method", "POST")
    session.headers.add(":scheme", "http")
    session.headers.add(":path", Array("/t.S/M".utf8))
    session.headers.add(":authority", "localhost")
    let call = FuzzCall(manner, role)
    let stream = HandledStream(session, id: 0)
    guard session.open(stream) else { return }
    stream.handler = call
    call.stream = stream
    calls.append(call)
    stream.write([0, 0, 0, 0, 1, 7])
    if manner & 1 == 0 { stream.finish() }
  }

  func drain(atMost limit: Int = .max) {
    var count = 0
    session.drain(now: now) { bytes in
      count += bytes.count
      return count < limit
    }
    sent += count
    holds(session.queuedBytes >= 0, "queued bytes are counted right")
  }

  func end() {
    _ = session.isFinished
    _ = session.openStreams
    session.close()
    holds(session.openStreams == 0, "a closed session has no streams")
    holds(session.queuedBytes == 0, "a closed session has nothing queued")
    for call in calls { holds(call.closings == 1, "every stream is closed exactly once") }
    holds(calls.count < 10_000, "streams are limited by the bytes that came")
    holds(sent < 16 << 20, "what is sent is limited by what came")
  }

  // MARK: HTTP2SessionDelegate

  func streamArrives(_ id: Int32, _ session: HTTP2Session) -> HTTP2Stream {
    let call = FuzzCall(manner, role)
    let stream = HandledStream(session, id: id)
    call.stream = stream
    stream.handler = call
    calls.append(call)
    return stream
  }
  func settingsReceived() {}
  func pingAcknowledged(_ payload: UInt64) {}
  func goAwayReceived(_ lastStreamID: Int32, _ code: UInt32, _ debugText: String) {
    if manner & 0x80 != 0, code == HTTP2ErrorCode.enhanceYourCalm { session.close() }
  }
  func needsFlush() {}
}

/// The owner of a stream: reads messages, answers at the head, at the end, or not at all.
private final class FuzzCall: HTTP2StreamHandler {
  private let manner: UInt8
  private let role: HTTP2Session.Role
  private var reader = MessageReader(limit: 4_096)
  private var metadata = Metadata()
  private var hasAnswered = false
  weak var stream: HTTP2Stream?
  private(set) var closings = 0
  private(set) var unread = 0

  init(_ manner: UInt8, _ role: HTTP2Session.Role) {
    self.manner = manner
    self.role = role
  }

  func respond() {
    guard role == .server, !hasAnswered, let stream, stream.isOpen else { return }
    hasAnswered = true
    stream.session?.headers.add(":status", "200")
    if manner & 2 != 0 {
      stream.session?.headers.add("grpc-status", "0")
      stream.session?.respondAndEnd(stream)
    } else {
      stream.session?.respond(stream)
    }
  }

  func finish() {
    if role == .client { stream?.finish() } else { stream?.finishWithTrailers() }
  }

  func header(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
    holds(closings == 0, "nothing comes behind the end")
    metadata.append(name, value)
  }
  func headersEnded(_ kind: HeaderBlockKind, endStream: Bool, tooLarge: Bool) {
    holds(closings == 0, "nothing comes behind the end")
    if tooLarge { return stream?.reset(HTTP2ErrorCode.cancel) ?? () }
    if manner & 4 != 0 { respond() }
    if manner & 0x40 != 0, endStream { stream?.reset(HTTP2ErrorCode.internalError) }
  }
  func data(_ bytes: UnsafeRawBufferPointer) {
    holds(closings == 0, "nothing comes behind the end")
    unread += bytes.count
    var messages: [[UInt8]] = []
    do throws(FramingError) {
      try reader.receive(bytes) { message, _ in messages.append(message) }
    } catch {
      if manner & 8 != 0 { stream?.reset(HTTP2ErrorCode.cancel) }
    }
    if manner & 16 == 0 {
      stream?.consume(unread)
      unread = 0
    }
    if role == .server, hasAnswered { for message in messages { stream?.write(message) } }
  }
  func ended() {
    holds(closings == 0, "nothing comes behind the end")
    respond()
    if manner & 32 == 0 { finish() }
  }
  func writable() {
    holds(closings == 0, "nothing comes behind the end")
    stream?.write([1, 2, 3])
  }
  func addTrailers(_ headers: inout HeaderList) { headers.add("grpc-status", "0") }
  func closed(_ reason: StreamCloseReason) { closings += 1 }
}

/// The bytes that an input of `server` or `client` makes, for tests over a socket: without preface.
public enum FuzzedBytes {
  public static func ofClient(_ input: [UInt8]) -> [UInt8] { bytes(input, opens: Blocks.requests) }
  public static func ofServer(_ input: [UInt8]) -> [UInt8] { bytes(input, opens: Blocks.responses) }

  private static func bytes(_ input: [UInt8], opens: [[UInt8]]) -> [UInt8] {
    var choices = Choices(input)
    let isRaw = choices.byte() & 1 == 0
    _ = choices.byte()
    if isRaw {
      _ = choices.bytes(Int(choices.byte()) & 3)
      return choices.all()
    }
    var bytes = frame(4, 0, 0, [])
    var program = FrameProgram(choices, opens: opens, answers: Blocks.trailers)
    while let step = program.next() { if case .bytes(let more, _) = step { bytes += more } }
    return bytes
  }
}
