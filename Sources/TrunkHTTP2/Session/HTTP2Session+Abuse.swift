// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CNGHTTP2

/// The limits of a server's client, and the end of a connection that exceeds them.
extension HTTP2Session {
  /// The budget that the peer has exceeded, if any: ``kill(_:_:)`` is due.
  package var offence: AbuseBudget.Offence? { abuse?.offence }

  /// The header block that has not ended, by number.
  package var openHeaderBlock: UInt64? {
    guard let watch = abuse?.watch, watch.isInHeaderBlock else { return nil }
    return watch.headerBlocks
  }

  /// A call ended by the peer before its handler had started.
  package func noteEarlyReset() { abuse?.resetEarly(now: now) }

  /// Sends GOAWAY, and nothing after it; open streams end at once.
  package func kill(_ code: UInt32, _ debugText: String) {
    guard termination == .no, !isClosed else { return }
    goAwaySent = true
    isTerminated = true
    termination = .goAwayPending
    submitGoAway(code, debugText)
  }

  /// A frame that nghttp2 accepts and that is a connection error (RFC 9113 §5.4.1).
  func refuse(_ what: FrameCounter.Violation) {
    guard termination == .no, !isClosed else { return }
    connectionError = what.code
    violation = "\(HTTP2ErrorCode.name(what.code)) (\(what.text))"
    kill(what.code, what.text)
  }

  func pingArrived() {
    guard abuse != nil else { return }
    abuse?.pingReceived(now: now, hasCalls: openStreams > 0, hasSent: hasSentSincePing)
    hasSentSincePing = false
  }

  func resetGoes(_ id: Int32, _ code: UInt32) {
    abuse?.resetSent(code, now: now)
    // The owner knows of its own resets; nghttp2 sends one for a violation by the server.
    guard role == .client, refusals[id] == nil else { return }
    withStream(id) { stream in
      if !stream.isReset { refusals[id] = "it breaks HTTP/2's rules" }
    }
  }

  func goAwayGoes(_ frame: UnsafePointer<nghttp2_frame>) {
    let goAway = frame.pointee.goaway
    guard goAway.error_code != HTTP2ErrorCode.noError, termination == .no else { return }
    connectionError = goAway.error_code
    guard !goAwaySent, violation == nil else { return }
    let reason = UnsafeBufferPointer(start: goAway.opaque_data, count: goAway.opaque_data_len)
    let text = reason.isEmpty ? "" : " (\(String(decoding: reason, as: UTF8.self)))"
    violation = HTTP2ErrorCode.name(goAway.error_code) + text
  }

  func noteDataSent(_ count: Int) {
    queued -= count
    dataFramesSent &+= 1
    hasSentSincePing = true
  }

  /// HEADERS of a stream are being sent: its first, or its trailers.
  func headersGo(_ id: Int32) {
    hasSentSincePing = true
    // A server's stream is known to its peer from the start.
    guard role == .client else { return }
    withStream(id) { stream in
      guard !stream.headersSent else { return }
      stream.headersSent = true
      unsentCount -= 1
    }
  }
}
