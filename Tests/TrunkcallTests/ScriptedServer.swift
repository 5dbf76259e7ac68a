// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import StreamSupport
import TrunkHTTP2
import TrunkSockets
import TrunkWire

/// A server that does as its script says, call by call: answers, refuses, hangs, breaks off.
final class ScriptedServer: Sendable {
  typealias Script = @Sendable (ScriptedStream, ScriptedStream.Event) -> Void

  /// What may be wrong with the server as a whole.
  struct Manner: Sendable {
    /// Accepts, and never says a word.
    var isMute = false
    var maxConcurrentStreams: UInt32 = 100
    var initialWindowSize: Int32 = 1 << 20
  }

  private static let group = try? EventLoopGroup(loops: 1)

  let loop: EventLoop
  let port: UInt16
  private let core: LoopBound<ScriptedCore>

  init(
    port: UInt16 = 0, _ manner: Manner = Manner(), _ script: @escaping Script = ScriptedServer.echo
  ) async throws {
    let loop = (ScriptedServer.group ?? .shared).next()
    let result = await loop.perform { () -> Result<LoopBound<ScriptedCore>, SocketError> in
      do throws(SocketError) {
        return .success(LoopBound(try ScriptedCore(loop, port, manner, script), on: loop))
      } catch {
        return .failure(error)
      }
    }
    self.loop = loop
    core = try result.get()
    let core = core
    self.port = await loop.perform { core.value.port }
  }

  deinit { ask { $0.stop() } }

  var target: String { "ipv4:127.0.0.1:\(port)" }

  /// Connections accepted so far, calls seen so far, connections open now.
  var counts: (accepted: Int, calls: Int, open: Int) {
    get async {
      let core = core
      return await loop.perform { (core.value.accepted, core.value.calls, core.value.open.count) }
    }
  }
  var pings: Int {
    get async {
      let core = core
      return await loop.perform { core.value.pings }
    }
  }

  /// GOAWAY with the last stream seen; open streams go on.
  func goAway() { ask { core in for one in core.open { one.session.goAway() } } }
  /// GOAWAY that takes back every stream after `last`.
  func goAway(refusingAfter last: Int32) {
    ask { core in for one in core.open { one.goAway(refusingAfter: last) } }
  }
  /// The same on one of the open connections, in the order they were accepted.
  func goAway(connection: Int) { ask { $0.open[connection].session.goAway() } }
  func goAway(refusingAfter last: Int32, connection: Int) {
    ask { $0.open[connection].goAway(refusingAfter: last) }
  }
  func dropConnection(_ connection: Int) { ask { $0.open[connection].socket.close() } }
  /// As kill -9: every connection and the port are gone at once.
  func kill() { ask { $0.stop() } }
  func dropConnections() { ask { core in for one in core.open { one.socket.close() } } }
  /// As SIGSTOP: the kernel takes bytes, nobody reads them or answers.
  func freeze() { ask { $0.freeze(true) } }
  func thaw() { ask { $0.freeze(false) } }

  private func ask(_ body: @escaping @Sendable (ScriptedCore) -> Void) {
    let core = core
    loop.run { body(core.value) }
  }

  /// Sends every message back, then OK; the path's last part may name another behaviour.
  static let echo: Script = { stream, event in
    switch event {
    case .opened: stream.respond()
    case .message(let message): stream.send(message)
    case .ended: stream.finish(["grpc-status": "0"])
    case .closed: break
    }
  }

  /// Answers each call with one message: its own name.
  static func named(_ name: String) -> Script {
    { stream, event in
      guard case .ended = event else { return }
      stream.respond()
      stream.send(Array(name.utf8))
      stream.finish(["grpc-status": "0"])
    }
  }

  /// Answers when the request has ended.
  static func whenEnded(_ body: @escaping @Sendable (ScriptedStream) -> Void) -> Script {
    { stream, event in if case .ended = event { body(stream) } }
  }
}

/// The loop's half of the server.
private final class ScriptedCore {
  let loop: EventLoop
  let manner: ScriptedServer.Manner
  let script: ScriptedServer.Script
  private var listener: Listener?
  private(set) var port: UInt16 = 0
  var open: [ScriptedConnection] = []
  var mute: [SocketConnection] = []
  var accepted = 0
  var calls = 0
  var pings = 0
  private(set) var isFrozen = false

  init(
    _ loop: EventLoop, _ port: UInt16, _ manner: ScriptedServer.Manner,
    _ script: @escaping ScriptedServer.Script
  ) throws(SocketError) {
    self.loop = loop
    self.manner = manner
    self.script = script
    guard let address = SocketAddress(ip: "127.0.0.1", port: port) else {
      throw SocketError("listen", errno: 0)
    }
    let listener = try Listener(on: address, loop: loop) { [weak self] socket in
      self?.accept(socket)
    }
    try listener.start()
    self.listener = listener
    self.port = listener.address.port
  }

  private func accept(_ accepted: AcceptedSocket) {
    self.accepted += 1
    let socket = accepted.adopt(on: loop)
    if manner.isMute || isFrozen {
      mute.append(socket)
    } else {
      ScriptedConnection(socket, self).start()
    }
  }

  func freeze(_ frozen: Bool) {
    isFrozen = frozen
    for one in open {
      one.socket.readsPaused = frozen
      if !frozen { one.socket.setNeedsFlush() }
    }
    if !frozen {
      for socket in mute { ScriptedConnection(socket, self).start() }
      mute = []
    }
  }

  func stop() {
    listener?.close()
    listener = nil
    for one in open { one.socket.close() }
    for socket in mute { socket.close() }
    mute = []
  }
}

private final class ScriptedConnection: ConnectionDriver, HTTP2SessionDelegate {
  let socket: SocketConnection
  let core: ScriptedCore
  private var frames = FrameWalk()
  private(set) lazy var session = HTTP2Session(.server, settings: settings, delegate: self)

  init(_ socket: SocketConnection, _ core: ScriptedCore) {
    self.socket = socket
    self.core = core
  }

  private var settings: HTTP2Settings {
    var settings = HTTP2Settings()
    settings.maxConcurrentStreams = core.manner.maxConcurrentStreams
    settings.initialWindowSize = core.manner.initialWindowSize
    return settings
  }

  func start() {
    core.open.append(self)
    _ = session
    socket.start(self)
  }

  func goAway(refusingAfter last: Int32) {
    for stream in session.allStreams where stream.id > last {
      stream.reset(HTTP2ErrorCode.refusedStream)
    }
    session.goAway()
  }

  func received(_ bytes: UnsafeRawBufferPointer) {
    core.pings += frames.pings(in: bytes)
    session.receive(bytes)
    if session.isFinished { socket.close(afterFlush: true) }
  }
  func fill(_ output: inout OutputBuffer) {
    if core.isFrozen { return }
    session.drain { frame in
      output.append(frame)
      return !output.isFull
    }
    if session.isFinished { socket.close(afterFlush: true) }
  }
  func closed(_ error: SocketError?) {
    session.close()
    core.open.removeAll { $0 === self }
  }
  func streamArrives(_ id: Int32, _ session: HTTP2Session) -> HTTP2Stream {
    core.calls += 1
    let stream = HandledStream(session, id: id)
    stream.handler = ScriptedStream(stream, core.loop, core.script)
    return stream
  }
  func settingsReceived() {}
  func pingAcknowledged(_ payload: UInt64) {}
  func goAwayReceived(_ lastStreamID: Int32, _ code: UInt32, _ debugText: String) {}
  func needsFlush() { socket.setNeedsFlush() }
}

/// Finds the PINGs in a client's bytes, however they are cut.
private struct FrameWalk {
  /// Bytes to pass over: the connection preface, then payloads.
  private var skip = 24
  private var header: [UInt8] = []

  /// PING frames without ACK whose header ends in `bytes`.
  mutating func pings(in bytes: UnsafeRawBufferPointer) -> Int {
    var pings = 0
    var rest = bytes[...]
    while !rest.isEmpty {
      let passed = min(skip, rest.count)
      skip -= passed
      rest = rest.dropFirst(passed)
      let taken = rest.prefix(skip > 0 ? 0 : 9 - header.count)
      header += taken
      rest = rest.dropFirst(taken.count)
      guard header.count == 9 else { continue }
      skip = Int(header[0]) << 16 | Int(header[1]) << 8 | Int(header[2])
      if header[3] == 6, header[4] & 1 == 0 { pings += 1 }
      header.removeAll(keepingCapacity: true)
    }
    return pings
  }
}

/// One call as a script sees it. Never leaves the server's loop.
final class ScriptedStream: HTTP2StreamHandler {
  enum Event: Sendable {
    case opened
    case message([UInt8])
    case ended
    case closed(StreamCloseReason)
  }

  let stream: HTTP2Stream
  let loop: EventLoop
  private(set) var headers = Metadata()
  private(set) var messages: [[UInt8]] = []
  private let script: ScriptedServer.Script
  private var reader = MessageReader(limit: 64 << 20)
  private var trailers = Metadata()
  /// False leaves the client without credit.
  var consumes = true

  init(_ stream: HTTP2Stream, _ loop: EventLoop, _ script: @escaping ScriptedServer.Script) {
    self.stream = stream
    self.loop = loop
    self.script = script
  }

  var path: String { headers[":path"] ?? "" }

  func respond(_ extra: Metadata = Metadata(), type: String = "application/grpc") {
    var block: Metadata = [":status": "200", "content-type": type]
    block.append(contentsOf: extra)
    stream.session?.headers.add(block)
    stream.session?.respond(stream)
  }
  /// A block of any kind, without a body.
  func answer(_ block: Metadata) {
    stream.session?.headers.add(block)
    stream.session?.respondAndEnd(stream)
  }
  /// Headers of any kind; a body follows.
  func begin(_ block: Metadata) {
    stream.session?.headers.add(block)
    stream.session?.respond(stream)
  }
  func send(_ message: [UInt8]) {
    var frame = [0, 0, 0, 0, 0] + message
    MessageFrame.seal(&frame)
    stream.write(frame)
  }
  func sendRaw(_ bytes: [UInt8]) { stream.write(bytes) }
  func finish(_ trailers: Metadata) {
    self.trailers = trailers
    stream.finishWithTrailers()
  }
  func endWithoutTrailers() { stream.finish() }
  func reset(_ code: UInt32) { stream.reset(code) }
  /// Runs `body` on the server's loop after a while.
  func after(_ delay: Duration, on loop: EventLoop, _ body: @escaping (ScriptedStream) -> Void) {
    LoopTimer(on: loop) { [self] in if stream.isOpen { body(self) } }.schedule(after: delay)
  }

  func header(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
    headers.append(name, value)
  }
  func headersEnded(_ kind: HeaderBlockKind, endStream: Bool, tooLarge: Bool) {
    script(self, .opened)
  }
  func data(_ bytes: UnsafeRawBufferPointer) {
    var new: [[UInt8]] = []
    try? reader.receive(bytes) { message, _ in new.append(message) }
    if consumes { stream.consume(bytes.count) }
    for message in new {
      messages.append(message)
      script(self, .message(message))
    }
  }
  func ended() { script(self, .ended) }
  func writable() {}
  func addTrailers(_ headers: inout HeaderList) { headers.add(trailers) }
  func closed(_ reason: StreamCloseReason) { script(self, .closed(reason)) }
}
