// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
package import TrunkWire

/// A stream that the channel itself keeps open on a subchannel's connection: load reports out of band
/// (gRFC A51), health checks (gRFC A17).
///
/// ```
///   off ── connected ──► running ── ended ──► waiting ── timer ──► running
///    ▲                     └── UNIMPLEMENTED ──► refused
///    └── disconnected ◄── any
/// ```
/// - A stream that has brought a message resets the back-off: the next one starts at once. But not
///   before the first back-off has passed since the last start, else a server that ends each stream
///   behind its first message would be called in a tight loop.
/// - UNIMPLEMENTED is final for the connection, not for the next one.
/// - Each stream has a number; events of an earlier one have no effect.
package struct SubchannelStream: Sendable {
  package enum Event: Sendable {
    /// The subchannel has a connection that takes calls.
    case connected
    /// It takes none any more.
    case disconnected
    /// The stream's first message came.
    case message(UInt32)
    /// The stream ended by itself; nil for OK.
    case ended(UInt32, RPCError.Code?)
    /// The time of ``Action/timer(at:)``.
    case timer
    /// The request has changed: it is to be sent anew.
    case changed
  }
  package enum Action: Sendable, Hashable {
    case start(UInt32)
    /// Cancel the running stream.
    case cancel
    case timer(at: UInt64)
    /// The server does not have the method: to be logged.
    case unimplemented
  }
  private enum Phase: Sendable {
    case off, running(since: UInt64, hadMessage: Bool), waiting(until: UInt64), refused
  }

  private var phase = Phase.off
  private var number: UInt32 = 0
  private var backoff: Backoff

  /// - Parameter number: the streams' numbers are larger.
  package init(backoff: Backoff, after number: UInt32 = 0) {
    self.backoff = backoff
    self.number = number
  }

  package mutating func handle(
    _ event: Event, now: UInt64, random: inout some RandomNumberGenerator
  ) -> [Action] {
    switch (event, phase) {
    case (.connected, .off):
      backoff.reset()
      return [start(now)]
    case (.disconnected, .running):
      phase = .off
      return [.cancel]
    case (.disconnected, _):
      phase = .off
      return []
    case (.message(number), .running(let since, _)):
      backoff.reset()
      phase = .running(since: since, hadMessage: true)
      return []
    case (.ended(number, .unimplemented), .running):
      phase = .refused
      return [.unimplemented]
    case (.ended(number, _), .running(let since, let hadMessage)):
      let due = (hadMessage ? since : now).saturatingAdd(backoff.next(using: &random))
      if due <= now { return [start(now)] }
      phase = .waiting(until: due)
      return [.timer(at: due)]
    case (.timer, .waiting(let due)):
      return due <= now ? [start(now)] : [.timer(at: due)]
    case (.changed, .running): return [.cancel, start(now)]
    case (.connected, _), (.message, _), (.ended, _), (.timer, _), (.changed, _): return []
    }
  }

  /// Whether the running stream has that number.
  package func isCurrent(_ number: UInt32) -> Bool {
    if case .running = phase { number == self.number } else { false }
  }

  private mutating func start(_ now: UInt64) -> Action {
    number &+= 1
    phase = .running(since: now, hadMessage: false)
    return .start(number)
  }
}
