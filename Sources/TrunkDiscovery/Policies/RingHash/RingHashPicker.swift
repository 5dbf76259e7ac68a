// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkWire

/// Walks the ring from the call's hash on (gRFC A42, A61, A76): failed endpoints are passed over, and
/// the first other one is the call's.
///
/// A call without a hash of its own may go to any endpoint: it takes the first READY one, and
/// connects at most one that it meets before, if none is connecting yet.
struct RingHashPicker: Picker {
  enum Phase: UInt8, Sendable, Hashable { case idle, connecting, ready, failed }
  /// Endpoints by their phase.
  struct Counts: Sendable, Hashable {
    var ready = 0
    var connecting = 0
    var failed = 0

    mutating func add(_ phase: Phase, _ change: Int) {
      switch phase {
      case .idle: break
      case .ready: ready += change
      case .connecting: connecting += change
      case .failed: failed += change
      }
    }
  }

  let ring: HashRing
  let ids: [SubchannelID]
  let phases: [Phase]
  let counts: Counts
  /// In lower case; empty: all calls have random hashes.
  let header: [UInt8]
  let failure: RPCError

  mutating func pick(_ call: borrowing PickContext) -> Pick {
    guard counts.failed < ids.count, ring.count > 0 else { return .fail(failure) }
    guard let hash = hash(call.metadata) else { return pickAny(from: mixed(call.random)) }
    var entry = ring.index(of: hash)
    for _ in 0..<ring.count {
      let owner = Int(ring.owners[entry])
      switch phases[owner] {
      case .ready: return .use(ids[owner])
      case .idle: return .connect(ids[owner])
      case .connecting: return .wait
      case .failed: entry = entry + 1 == ring.count ? 0 : entry + 1
      }
    }
    return .fail(failure)
  }

  /// A READY endpoint's token is the IDLE one that was met before it: the policy connects that when it
  /// gets the outcome.
  private func pickAny(from hash: UInt64) -> Pick {
    if counts.ready == 0, counts.connecting > 0 { return .wait }
    var entry = ring.index(of: hash)
    var wanted: SubchannelID?
    for _ in 0..<ring.count {
      let owner = Int(ring.owners[entry])
      switch phases[owner] {
      case .ready: return .use(ids[owner], token: wanted?.raw)
      case .idle where wanted == nil && counts.connecting == 0:
        wanted = ids[owner]
        if counts.ready == 0 { return .connect(ids[owner]) }
      case .idle, .connecting, .failed: break
      }
      entry = entry + 1 == ring.count ? 0 : entry + 1
    }
    // READY and connecting endpoints may have no entry in a ring that is too small for all.
    if let wanted { return .connect(wanted) }
    return counts.connecting > 0 ? .wait : .fail(failure)
  }

  /// Of the header's value, of several joined by commas; nil without one (gRFC A76).
  private func hash(_ metadata: Metadata) -> UInt64? {
    guard !header.isEmpty, !metadata.isEmpty else { return nil }
    var hash: UInt64?
    var count = 0
    metadata.forEachWire { name, value in
      guard name.elementsEqual(header) else { return }
      count += 1
      if count == 1, value.count > 0 { hash = XXH64.hash(value) }
    }
    guard count > 1 else { return hash }
    var joined: [UInt8] = []
    metadata.forEachWire { name, value in
      guard name.elementsEqual(header) else { return }
      joined.append(contentsOf: value)
      count -= 1
      if count > 0 { joined.append(UInt8(ascii: ",")) }
    }
    return joined.withUnsafeBytes { XXH64.hash($0) }
  }
}
