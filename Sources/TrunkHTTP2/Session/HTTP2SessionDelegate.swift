// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Gets the events of the connection as a whole.
package protocol HTTP2SessionDelegate: AnyObject {
  /// A stream of the peer begins (servers): returns its object.
  func streamArrives(_ id: Int32, _ session: HTTP2Session) -> HTTP2Stream
  /// The peer's SETTINGS arrived; the first time completes the handshake.
  func settingsReceived()
  /// The peer has acknowledged this side's SETTINGS.
  func settingsAcknowledged()
  func pingAcknowledged(_ payload: UInt64)
  /// The peer takes no new streams; those above `lastStreamID` were not processed.
  func goAwayReceived(_ lastStreamID: Int32, _ code: UInt32, _ debugText: String)
  /// There are frames to send: `drain` must be called.
  func needsFlush()
}

extension HTTP2SessionDelegate {
  /// Clients have no streams of the peer: there is no push.
  package func streamArrives(_ id: Int32, _ session: HTTP2Session) -> HTTP2Stream {
    HTTP2Stream(session, id: id)
  }
  package func settingsAcknowledged() {}
}
