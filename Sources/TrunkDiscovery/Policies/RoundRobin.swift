// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// `round_robin`: every endpoint is kept connected, calls go to the ready ones in turn.
public struct RoundRobin: Balancer {
  /// `round_robin`.
  public static var name: String { "round_robin" }
  /// It has no settings; unknown fields are ignored (gRFC A21).
  public static func parse(_ json: [UInt8]) throws(ServiceConfigError) {}

  private var set = ReadySet<LoadCounter>(observer: nil)

  /// Without subchannels until the first resolution.
  public init(_ config: Void) {}
  /// True: there is nothing to change.
  public mutating func reconfigure(_ config: Void) -> Bool { true }

  /// See ``Balancer/handle(_:_:)``.
  public mutating func handle(_ event: BalancerEvent, _ actions: inout BalancerActions) {
    set.handle(event, &actions)
  }

  /// Picks the READY subchannels in turn; waits or fails if there is none.
  public mutating func makePicker() -> any Picker {
    set.picker { RoundRobinPicker(ready: $0.map(\.id)) }
  }
}

/// Each copy starts at a random place (load-balancing.md), so that many loops, or many
/// clients that start together, do not all call the same server first.
struct RoundRobinPicker: Picker {
  private let ready: [SubchannelID]
  private var next = -1

  init(ready: [SubchannelID]) { self.ready = ready }

  mutating func pick(_ call: borrowing PickContext) -> Pick {
    guard !ready.isEmpty else { return .wait }
    if next < 0 { next = Int(truncatingIfNeeded: call.random % UInt64(ready.count)) }
    let id = ready[next]
    next += 1
    if next == ready.count { next = 0 }
    return .use(id)
  }
}
