// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CNGHTTP2
internal import DequeModule

/// What a header block is, seen from the side that receives it.
package enum HeaderBlockKind: Sendable { case request, response, trailers }

/// The owner of a stream hears everything about it through this, on the session's loop.
///
/// ```
///   opened -> header* headersEnded -> data* -> [header* headersEnded(trailers)] -> ended? -> closed
/// ```
package protocol HTTP2StreamHandler: AnyObject {
  /// One field of the block at hand; the bytes are gone after the call.
  func header(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer)
  /// `tooLarge`: the list went past the limit, and fields were left out.
  func headersEnded(_ kind: HeaderBlockKind, endStream: Bool, tooLarge: Bool)
  /// Give the bytes back to the peer's window with ``HTTP2Stream/consume(_:)`` once they are used.
  func data(_ bytes: UnsafeRawBufferPointer)
  /// The peer has sent everything.
  func ended()
  /// Queued bytes fell below ``HTTP2Stream/writeMark``; called only after it was above.
  func writable()
  /// Add the trailers; asked after ``HTTP2Stream/finishWithTrailers()``, when the body is out.
  func addTrailers(_ headers: inout HeaderList)
  /// Called exactly once, and last.
  func closed(_ reason: StreamCloseReason)
}

package enum StreamCloseReason: Sendable, Hashable {
  /// Both sides are done, or RST_STREAM with this code came or went.
  case code(UInt32)
  /// The peer did not see the stream: it was never sent.
  case notSent
  /// The peer did not process it: REFUSED_STREAM, or above GOAWAY's last id (RFC 9113 §8.7).
  case refused
  /// The connection went away under it.
  case connectionLost
}

/// One stream of an ``HTTP2Session``. Never leaves its loop.
package final class HTTP2Stream {
  @exclusivity(unchecked) package internal(set) var id: Int32
  package unowned let session: HTTP2Session
  @exclusivity(unchecked) package var handler: (any HTTP2StreamHandler)?

  /// Position in the session's table.
  @exclusivity(unchecked) var tableIndex = -1
  @exclusivity(unchecked) var isClosed = false
  /// The stream's HEADERS were serialised; the peer may see them.
  @exclusivity(unchecked) package internal(set) var headersSent = false
  /// Reset by its owner before that.
  @exclusivity(unchecked) var isCancelled = false
  /// The peer has sent END_STREAM.
  @exclusivity(unchecked) package internal(set) var peerEnded = false

  // Receiving
  @exclusivity(unchecked) var headerListSize = 0
  @exclusivity(unchecked) var headersTooLarge = false
  /// Received, not yet consumed.
  @exclusivity(unchecked) var unconsumed = 0

  // Sending: `head` first, so that the one message of a unary call needs no queue.
  @exclusivity(unchecked) private var head: [UInt8] = []
  @exclusivity(unchecked) private var headOffset = 0
  @exclusivity(unchecked) private var tail = Deque<[UInt8]>()
  /// Bytes queued and not yet pulled by nghttp2.
  @exclusivity(unchecked) package private(set) var queued = 0
  private enum End { case open, endStream, trailers, sent }
  @exclusivity(unchecked) private var end = End.open
  @exclusivity(unchecked) private var isDeferred = false
  @exclusivity(unchecked) private var wasAboveMark = false

  /// Queued bytes above which a writer should wait for ``HTTP2StreamHandler/writable()``.
  package static let writeMark = 64 * 1024

  init(_ session: HTTP2Session, id: Int32) {
    self.session = session
    self.id = id
  }

  package var isOpen: Bool { !isClosed }
  package var isAboveMark: Bool { queued > HTTP2Stream.writeMark }
  /// Everything including the end has been handed to nghttp2.
  package var isLocallyDone: Bool { end == .sent }

  // MARK: Sending

  /// Queues bytes. Nothing happens on a closed or finished stream.
  package func write(_ bytes: [UInt8]) {
    guard !isClosed, end == .open, !bytes.isEmpty else { return }
    if queued == 0 {
      head = bytes
      headOffset = 0
    } else {
      tail.append(bytes)
    }
    queued += bytes.count
    session.queuedBytes += bytes.count
    if isAboveMark { wasAboveMark = true }
    resume()
  }

  /// END_STREAM after what is queued (clients).
  package func finish() {
    guard !isClosed, end == .open else { return }
    end = .endStream
    resume()
  }

  /// Trailers after what is queued (servers); the handler is asked for them when the time comes.
  package func finishWithTrailers() {
    guard !isClosed, end == .open else { return }
    end = .trailers
    resume()
  }

  package func reset(_ code: UInt32) {
    guard !isClosed else { return }
    session.submitReset(self, code)
  }

  /// Returns received bytes to the peer's window.
  package func consume(_ count: Int) {
    guard count > 0, !isClosed else { return }
    let returned = min(count, unconsumed)
    unconsumed -= returned
    session.consumed(self, returned)
  }

  private func resume() {
    guard isDeferred else { return session.setNeedsFlush() }
    isDeferred = false
    session.resume(id)
  }

  /// nghttp2 asks for up to `room` bytes of DATA.
  func pull(
    _ target: UnsafeMutablePointer<UInt8>, _ room: Int, _ flags: UnsafeMutablePointer<UInt32>
  ) -> Int {
    var filled = 0
    while filled < room && queued > 0 {
      let count = min(room - filled, head.count - headOffset)
      head.withUnsafeBytes { bytes in
        if let base = bytes.baseAddress {
          UnsafeMutableRawPointer(target + filled).copyMemory(
            from: base + headOffset, byteCount: count)
        }
      }
      filled += count
      headOffset += count
      queued -= count
      if headOffset == head.count {
        head = tail.popFirst() ?? []
        headOffset = 0
      }
    }
    if filled > 0 { session.noteDataSent(filled) }
    if wasAboveMark && queued <= HTTP2Stream.writeMark / 2 {
      wasAboveMark = false
      session.noteWritable(self)
    }
    if queued > 0 { return filled }
    switch end {
    case .open:
      if filled == 0 {
        isDeferred = true
        return Int(NGHTTP2_ERR_DEFERRED.rawValue)
      }
    case .endStream:
      end = .sent
      flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue
    case .trailers:
      end = .sent
      flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue | NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
      handler?.addTrailers(&session.headers)
      session.submitTrailers(id)
    case .sent:
      flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue
    }
    return filled
  }

  /// The stream's HEADERS, or its trailers, are on their way.
  func headersGo() {
    session.noteHeadersSent(first: !headersSent)
    headersSent = true
  }

  /// Frees what is queued; the stream is gone.
  func discard() {
    isClosed = true
    session.queuedBytes -= queued
    head = []
    tail = []
    queued = 0
    end = .sent
  }
}
