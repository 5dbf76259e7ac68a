// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import StreamSupport
import TrunkWire

@testable import TrunkHTTP2

/// Writes down what a stream's owner hears.
final class StreamLog: HTTP2StreamHandler {
  var fields: [String: String] = [:]
  var blocks: [HeaderBlockKind] = []
  var tooLarge = false
  var bytes: [UInt8] = []
  var hasEnded = false
  var writableCalls = 0
  var closings: [StreamCloseReason] = []
  /// Returns credit as bytes come, as a fast reader does.
  var consumes = true
  var trailers: Metadata = [:]
  var onHeaders: (() -> Void)?
  weak var stream: HTTP2Stream?

  func header(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
    fields[String(decoding: name, as: UTF8.self)] = String(decoding: value, as: UTF8.self)
  }
  func headersEnded(_ kind: HeaderBlockKind, endStream: Bool, tooLarge: Bool) {
    blocks.append(kind)
    self.tooLarge = self.tooLarge || tooLarge
    onHeaders?()
  }
  func data(_ bytes: UnsafeRawBufferPointer) {
    self.bytes += bytes
    if consumes { stream?.consume(bytes.count) }
  }
  func ended() { hasEnded = true }
  func writable() { writableCalls += 1 }
  func addTrailers(_ headers: inout HeaderList) { headers.add(trailers) }
  func closed(_ reason: StreamCloseReason) { closings.append(reason) }
}

/// One end of a connection in memory.
final class Side: HTTP2SessionDelegate {
  private let role: HTTP2Session.Role
  private let settings: HTTP2Settings
  private let pages: (any SessionPages)?
  private(set) lazy var session = HTTP2Session(
    role, settings: settings, delegate: self, pages: pages)
  /// Streams of the peer, in the order in which they came.
  var accepted: [StreamLog] = []
  var acceptedStreams: [HTTP2Stream] = []
  var settingsReceivedCalls = 0
  var pings: [UInt64] = []
  var goAways: [(last: Int32, code: UInt32, text: String)] = []
  var consumes = true
  var onOpened: ((HTTP2Stream, StreamLog) -> Void)?

  init(
    _ role: HTTP2Session.Role, pages: (any SessionPages)? = nil,
    _ change: (inout HTTP2Settings) -> Void = { _ in }
  ) {
    self.pages = pages
    var settings = HTTP2Settings()
    change(&settings)
    self.role = role
    self.settings = settings
  }

  func streamArrives(_ id: Int32, _ session: HTTP2Session) -> HTTP2Stream {
    let stream = HandledStream(session, id: id)
    let log = StreamLog()
    log.stream = stream
    log.consumes = consumes
    stream.handler = log
    accepted.append(log)
    acceptedStreams.append(stream)
    onOpened?(stream, log)
    return stream
  }
  func settingsReceived() { settingsReceivedCalls += 1 }
  func pingAcknowledged(_ payload: UInt64) { pings.append(payload) }
  func goAwayReceived(_ last: Int32, _ code: UInt32, _ text: String) {
    goAways.append((last, code, text))
  }
  func needsFlush() {}

  /// What the session wants to send: all, or up to the end of the frame at hand when `enough` bytes
  /// are there.
  func output(enough: Int = .max) -> [UInt8] {
    var bytes: [UInt8] = []
    session.drain {
      bytes += $0
      return bytes.count < enough
    }
    return bytes
  }

  func input(_ bytes: [UInt8]) { bytes.withUnsafeBytes { session.receive($0) } }

  /// A request of a client, its headers on their way.
  func request(_ extra: Metadata = [:]) -> (log: StreamLog, stream: HTTP2Stream?) {
    session.headers.add(":method", "POST")
    session.headers.add(":scheme", "http")
    session.headers.add(":path", Array("/t.Service/Method".utf8))
    session.headers.add(":authority", "localhost")
    session.headers.add(extra)
    let log = StreamLog()
    let stream = HandledStream(session, id: 0)
    guard session.open(stream) else { return (log, nil) }
    stream.handler = log
    log.stream = stream
    return (log, stream)
  }

  /// The head of a server's answer.
  func respond(_ stream: HTTP2Stream, end: Bool = false) {
    session.headers.add(":status", "200")
    if end { session.respondAndEnd(stream) } else { session.respond(stream) }
  }
}

/// A client and a server, and nothing between them.
struct Pair {
  let client: Side
  let server: Side
  /// Bytes handed over at once.
  var split = Int.max

  init(
    client: (inout HTTP2Settings) -> Void = { _ in },
    server: (inout HTTP2Settings) -> Void = { _ in },
    serverPages: (any SessionPages)? = nil
  ) {
    self.client = Side(.client, client)
    self.server = Side(.server, pages: serverPages, server)
  }

  /// Carries bytes both ways until neither side has any.
  func pump() {
    while true {
      let there = client.output()
      carry(there, to: server)
      let back = server.output()
      carry(back, to: client)
      if there.isEmpty && back.isEmpty { return }
    }
  }

  private func carry(_ bytes: [UInt8], to side: Side) {
    var offset = 0
    while offset < bytes.count {
      let end = split < bytes.count - offset ? offset + split : bytes.count
      side.input(Array(bytes[offset..<end]))
      offset = end
    }
  }
}

private let period = (0..<65_536).map { UInt8(truncatingIfNeeded: ($0 &* 31) ^ ($0 >> 8)) }

/// Bytes in which a lost or moved stretch shows.
func pattern(_ count: Int) -> [UInt8] {
  var bytes: [UInt8] = []
  bytes.reserveCapacity(count)
  // It comes again after 64 KiB, and copies are cheap.
  while bytes.count < count { bytes += period.prefix(count - bytes.count) }
  return bytes
}

let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

/// The first nine bytes say it all: type and stream of every frame in `bytes`.
func frames(_ bytes: [UInt8]) -> [(type: UInt8, flags: UInt8, stream: UInt32, payload: [UInt8])] {
  var frames: [(type: UInt8, flags: UInt8, stream: UInt32, payload: [UInt8])] = []
  var rest = bytes[...]
  while rest.count >= 9 {
    let head = Array(rest.prefix(9))
    let length = Int(head[0]) << 16 | Int(head[1]) << 8 | Int(head[2])
    let stream = head[5...].reduce(0) { $0 << 8 | UInt32($1) }
    frames.append((head[3], head[4], stream, Array(rest.dropFirst(9).prefix(length))))
    rest = rest.dropFirst(9 + length)
  }
  return frames
}
