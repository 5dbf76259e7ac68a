// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Counts the frames of a client that are legal one by one, and an attack without limit. A value:
/// no I/O, no clock.
///
/// ```
///   within budget ── one more than a budget holds ──► offended, for good: GOAWAY ENHANCE_YOUR_CALM
/// ```
/// Each budget is a burst and a rate, so that the age of a connection does not matter.
package struct AbuseBudget: Sendable {
  package struct Limits: Sendable, Hashable {
    /// RST_STREAM frames that the client caused by violating a stream (CVE-2025-8671,
    /// "MadeYouReset"). 200 in 30 s is swift-nio-http2's value.
    package var provokedResets = RateLimit(burst: 200, perSecond: 200.0 / 30)
    /// Calls that the client resets before their handlers have started (CVE-2023-44487, "rapid
    /// reset"). Those of running handlers are not counted: each holds a slot until its handler
    /// ends.
    package var earlyResets = RateLimit(burst: 10_000, perSecond: 1_000)
    /// Frames without content (CVE-2019-9512 to 9518).
    package var idleFrames = RateLimit(burst: 1_000, perSecond: 100)
    /// WINDOW_UPDATE frames beyond ten for each DATA frame sent.
    package var windowUpdates = RateLimit(burst: 1_000, perSecond: 100)

    package init() {}
  }

  package enum Offence: Sendable, Hashable {
    case provokedResets, earlyResets, idleFrames, windowUpdates, pings
  }

  /// WINDOW_UPDATE frames allowed for each DATA frame sent: one for the stream and one for the
  /// connection are usual.
  package static let updatesPerDataFrame = 10

  package private(set) var offence: Offence?
  package private(set) var watch = FrameCounter()
  /// A frame that nghttp2 accepts and that is a connection error.
  package private(set) var violation: FrameCounter.Violation?
  private var provokedResets: RateBudget
  private var earlyResets: RateBudget
  private var idleFrames: RateBudget
  private var windowUpdates: RateBudget
  private var freeUpdates = 0
  private var pings: PingPolicy

  package init(_ limits: Limits = Limits(), pings: PingPolicy) {
    provokedResets = RateBudget(limits.provokedResets)
    earlyResets = RateBudget(limits.earlyResets)
    idleFrames = RateBudget(limits.idleFrames)
    windowUpdates = RateBudget(limits.windowUpdates)
    self.pings = pings
  }

  /// Received bytes, before nghttp2 gets them. After an offence it must not get them.
  package mutating func received(_ bytes: UnsafeRawBufferPointer, now: UInt64) {
    var counts = FrameCounter.Counts()
    watch.scan(bytes, &counts)
    if let found = counts.violation { violation = found }
    if counts.idleFrames > 0, !idleFrames.take(counts.idleFrames, now: now) { note(.idleFrames) }
    if counts.windowUpdates > 0 {
      let free = min(freeUpdates, counts.windowUpdates)
      freeUpdates -= free
      let counted = counts.windowUpdates - free
      if counted > 0, !windowUpdates.take(counted, now: now) { note(.windowUpdates) }
    }
  }

  /// A stream that the client had ended is closed.
  package mutating func streamClosed(_ stream: UInt32) { watch.closed(stream) }

  /// DATA frames sent by this side.
  package mutating func dataSent(_ frames: Int = 1) {
    // Bounded: a long download must not allow a flood.
    freeUpdates += min(frames, 1_000) * AbuseBudget.updatesPerDataFrame
    freeUpdates = min(freeUpdates, 10_000)
  }

  /// RST_STREAM sent by this side. Resets for the server's own reasons (response complete, limit
  /// reached, trailers stuck) are not counted.
  package mutating func resetSent(_ code: UInt32, now: UInt64) {
    switch code {
    case HTTP2ErrorCode.noError, HTTP2ErrorCode.refusedStream, HTTP2ErrorCode.cancel: break
    default: if !provokedResets.take(now: now) { note(.provokedResets) }
    }
  }

  /// A call ended by its client before its handler had started.
  package mutating func resetEarly(now: UInt64) {
    if !earlyResets.take(now: now) { note(.earlyResets) }
  }

  package mutating func pingReceived(now: UInt64, hasCalls: Bool, hasSent: Bool) {
    let verdict = pings.pingReceived(now: now, hasCalls: hasCalls, hasSent: hasSent)
    if verdict == .tooMany { note(.pings) }
  }

  private mutating func note(_ new: Offence) {
    if offence == nil { offence = new }
  }
}

extension AbuseBudget.Offence {
  /// The debug text of the GOAWAY; gRFC A8 fixes the one of pings.
  package var debugText: String {
    switch self {
    case .provokedResets: "too_many_stream_errors"
    case .earlyResets: "too_many_resets"
    case .idleFrames: "too_many_empty_frames"
    case .windowUpdates: "too_many_window_updates"
    case .pings: "too_many_pings"
    }
  }
}
