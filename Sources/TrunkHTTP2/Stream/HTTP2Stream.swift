// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CNGHTTP2
internal import DequeModule

/// The kind of a received header block.
public enum HeaderBlockKind: Sendable { case request, response, trailers }

/// Why a stream was closed.
public enum StreamCloseReason: Sendable, Hashable {
  /// Both sides have ended, or RST_STREAM with this code was received or sent.
  case code(UInt32)
  /// The peer did not see the stream: it was never sent.
  case notSent
  /// The peer did not process it: REFUSED_STREAM, or above GOAWAY's last id (RFC 9113 §8.7).
  case refused
  /// This side reset it for a violation of HTTP/2 by the peer; the reason.
  case refusedHere(String)
  /// The connection ended.
  case connectionLost
}

/// One stream of an ``HTTP2Session``. Bound to its loop.
///
/// Its owner is a subclass, so that a call is one object and an event one virtual call:
/// ```
///   opened -> header* headersEnded -> data* -> [header* headersEnded(trailers)] -> ended? ->
///   closed
/// ```
/// `open` and `public` because Swift has no subclasses across the modules of a package otherwise;
/// this module is no product.
open class HTTP2Stream {
  // In an order without padding: there may be many.
  @exclusivity(unchecked) package internal(set) final var id: Int32
  /// Position in the session's table.
  @exclusivity(unchecked) final var tableIndex: Int32 = -1
  // The session closes all its streams before it ends, and a closed stream does not access it.
  final let owner: Unmanaged<HTTP2Session>

  @exclusivity(unchecked) final var isClosed = false
  /// The stream's HEADERS were serialised; the peer may have them (clients).
  @exclusivity(unchecked) package internal(set) final var headersSent = false
  /// Reset by its owner.
  @exclusivity(unchecked) final var isReset = false
  /// Reset by its owner before its HEADERS were serialised.
  @exclusivity(unchecked) final var isCancelled = false
  /// The peer has sent END_STREAM.
  @exclusivity(unchecked) final var peerEnded = false
  @exclusivity(unchecked) final var headersTooLarge = false
  private enum End { case open, endStream, trailers, sent }
  @exclusivity(unchecked) private final var end = End.open
  @exclusivity(unchecked) private final var isDeferred = false
  @exclusivity(unchecked) private final var wasAboveMark = false

  // Receiving
  @exclusivity(unchecked) final var headerListSize: UInt32 = 0
  /// Received, not yet consumed: no more than a window (RFC 9113 §6.9.1).
  @exclusivity(unchecked) final var unconsumed: Int32 = 0

  // Sending: `head` first, so that the one message of a unary call needs no queue.
  @exclusivity(unchecked) private final var head: [UInt8] = []
  @exclusivity(unchecked) private final var headOffset = 0
  @exclusivity(unchecked) private final var tail: Deque<[UInt8]>?
  /// Bytes queued and not yet pulled by nghttp2.
  @exclusivity(unchecked) package private(set) final var queued = 0

  /// Queued bytes above which a writer should wait for ``writable()``.
  package static let writeMark = 64 * 1024
  /// Payloads of this size and more go from the queue to the socket's buffer, not by way of
  /// nghttp2's.
  static let handOverFrom = 4 * 1024

  /// - Parameter id: 0 for a client's, which gets one when it is opened.
  package init(_ session: HTTP2Session, id: Int32) {
    owner = Unmanaged.passUnretained(session)
    self.id = id
  }

  package final var isOpen: Bool { !isClosed }
  package final var isAboveMark: Bool { queued > HTTP2Stream.writeMark }
  /// Everything up to END_STREAM was passed to nghttp2.
  package final var isLocallyDone: Bool { end == .sent }
  /// The peer has sent END_STREAM.
  package final var isRemotelyDone: Bool { peerEnded }

  /// nil when the stream is closed.
  package final var session: HTTP2Session? { isClosed ? nil : owner.takeUnretainedValue() }

  @inline(__always)
  private final func withSession(_ body: (HTTP2Session) -> Void) {
    owner._withUnsafeGuaranteedRef(body)
  }

  // MARK: Events for the owner, on the session's loop

  /// One field of the current block; the bytes are valid during the call. The connection must not
  /// be closed inside.
  open func header(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {}
  /// `tooLarge`: the list exceeded the limit, and fields were left out.
  open func headersEnded(_ kind: HeaderBlockKind, endStream: Bool, tooLarge: Bool) {}
  /// Add the bytes to the peer's window with ``consume(_:)`` once they are used.
  open func data(_ bytes: UnsafeRawBufferPointer) { consume(bytes.count) }
  /// The peer has sent END_STREAM.
  open func ended() {}
  /// Queued bytes fell below ``writeMark``; called only after it was above.
  open func writable() {}
  /// Adds the trailers; called after ``finishWithTrailers()``, when the body was sent.
  open func addTrailers(_ headers: inout HeaderList) {}
  /// Called exactly once, as the last event.
  open func closed(_ reason: StreamCloseReason) {}

  // MARK: Sending

  /// Queues bytes. No effect on a closed or finished stream.
  package final func write(_ bytes: [UInt8]) {
    guard !isClosed, end == .open, !bytes.isEmpty else { return }
    if queued == 0 {
      head = bytes
      headOffset = 0
    } else if tail == nil {
      tail = [bytes]
    } else {
      tail?.append(bytes)
    }
    queued += bytes.count
    withSession { $0.queued += bytes.count }
    if isAboveMark { wasAboveMark = true }
    resume()
  }

  /// END_STREAM after the queued bytes (clients).
  package final func finish() {
    guard !isClosed, end == .open else { return }
    end = .endStream
    resume()
  }

  /// Trailers after the queued bytes (servers); ``addTrailers(_:)`` is called for them then.
  package final func finishWithTrailers() {
    guard !isClosed, end == .open else { return }
    end = .trailers
    resume()
  }

  package final func reset(_ code: UInt32) {
    guard !isClosed else { return }
    isReset = true
    withSession { $0.submitReset(self, code) }
  }

  /// Adds all received bytes to the peer's window.
  package final func consumeAll() { consume(Int(unconsumed)) }

  /// Adds received bytes to the peer's window.
  package final func consume(_ count: Int) {
    guard count > 0, !isClosed else { return }
    let returned = min(Int32(clamping: count), unconsumed)
    unconsumed -= returned
    withSession { $0.consumed(self, Int(returned)) }
  }

  private final func resume() {
    withSession { session in
      guard isDeferred else { return session.setNeedsFlush() }
      isDeferred = false
      session.resume(id)
    }
  }

  /// nghttp2 takes up to `room` bytes of DATA. Few are copied to `target`; many stay in the queue
  /// until the frame is sent.
  final func pull(
    _ target: UnsafeMutablePointer<UInt8>, _ room: Int, _ flags: UnsafeMutablePointer<UInt32>
  ) -> Int {
    let count = min(room, queued)
    let isLast = count == queued
    if count >= HTTP2Stream.handOverFrom {
      flags.pointee |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue
    } else if count > 0 {
      var filled = UnsafeMutableRawPointer(target)
      handOver(count) { bytes in
        if let base = bytes.baseAddress { filled.copyMemory(from: base, byteCount: bytes.count) }
        filled += bytes.count
      }
    }
    guard isLast else { return count }
    switch end {
    case .open:
      if count == 0 {
        isDeferred = true
        return Int(NGHTTP2_ERR_DEFERRED.rawValue)
      }
    case .endStream:
      end = .sent
      flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue
    case .trailers:
      end = .sent
      flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue | NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
      withSession { session in
        addTrailers(&session.headers)
        session.submitTrailers(id)
      }
    case .sent:
      flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue
    }
    return count
  }

  /// Removes `count` bytes from the queue, piece by piece.
  @inline(__always)
  final func handOver(_ count: Int, _ body: (UnsafeRawBufferPointer) -> Void) {
    var left = count
    while left > 0 && queued > 0 {
      let piece = min(left, head.count - headOffset)
      head.withUnsafeBytes {
        body(UnsafeRawBufferPointer(rebasing: $0[headOffset..<(headOffset + piece)]))
      }
      left -= piece
      headOffset += piece
      queued -= piece
      if headOffset == head.count {
        head = tail?.popFirst() ?? []
        headOffset = 0
      }
    }
    withSession { $0.noteDataSent(count - left) }
    if wasAboveMark && queued <= HTTP2Stream.writeMark / 2 {
      wasAboveMark = false
      withSession { $0.noteWritable(self) }
    }
  }

  /// Frees the queue of a closed stream.
  final func discard() {
    isClosed = true
    withSession { $0.queued -= queued }
    head = []
    tail = nil
    queued = 0
    end = .sent
  }
}
