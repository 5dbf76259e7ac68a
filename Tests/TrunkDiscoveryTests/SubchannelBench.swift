// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery

let second: UInt64 = 1_000_000_000
let millisecond: UInt64 = 1_000_000

/// A subchannel under a virtual clock, with a record of its attempts and its timer.
struct SubchannelBench {
  var core: SubchannelCore
  var now: UInt64 = 100 * second
  var random = Seeded(1)
  /// Attempts under way, and the connections in use.
  var live: [UInt32: Address] = [:]
  var connected: Set<UInt32> = []
  var timer: UInt64?
  /// Of the last event.
  var actions: [SubchannelAction] = []
  /// When each attempt began, in order.
  var starts: [(at: UInt64, address: Address)] = []

  init(_ addresses: Address..., jitter: Double = 0) {
    var backoff = Backoff()
    backoff.jitter = jitter
    core = SubchannelCore(Endpoint(addresses), backoff: backoff)
  }

  mutating func send(_ event: SubchannelEvent) {
    switch event {
    case .ready(let id):
      if live.removeValue(forKey: id) != nil { connected.insert(id) }
    case .failed(let id, _): live[id] = nil
    case .ended(let id, _, _): connected.remove(id)
    default: break
    }
    actions = core.handle(event, now: now, random: &random)
    for action in actions {
      switch action {
      case .attempt(let id, let address, let deadline):
        #expect(live.updateValue(address, forKey: id) == nil)
        #expect(deadline >= now + 20 * second)
        starts.append((now, address))
      case .abandon(let id): #expect(live.removeValue(forKey: id) != nil)
      case .drain(let id):
        #expect(connected.remove(id) != nil)
      case .joined(let id), .promoted(let id): #expect(connected.contains(id))
      case .timer(let at): timer = at
      case .report(let state, _): #expect(state == core.state || state == .connecting)
      }
    }
    #expect((core.state == .ready) == !connected.isEmpty)
    switch core.state {
    case .connecting: break
    case .ready: #expect(live.count <= 1, "attempts at a further connection")
    default: #expect(live.isEmpty)
    }
  }

  /// Lets time pass; the timer fires when it is due.
  mutating func advance(_ nanoseconds: UInt64) {
    let end = now + nanoseconds
    while let at = timer, at <= end {
      timer = nil
      now = max(now, at)
      send(.timer)
    }
    now = end
  }

  var reports: [String] {
    actions.compactMap {
      guard case .report(let state, let error) = $0 else { return nil }
      return error.map { "\(state) \($0)" } ?? "\(state)"
    }
  }
}
