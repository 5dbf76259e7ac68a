// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkWire

/// One subchannel: a connection to one of an endpoint's addresses, made again whenever the policy
/// asks, no more often than the back-off allows (connection-backoff.md).
///
/// ```
///   IDLE ── connect ──► CONNECTING ── first address READY, others abandoned ──► READY
///    ▲ ▲                 ▲   │                                                    │
///    │ │      connect    │   └─ every address failed ──► TRANSIENT_FAILURE        │
///    │ │      was asked ─┴──────────── backoff over ───────┘                      │
///    │ └───────────────── backoff over, no `connect` ──────┘                      │
///    └──── the connection ended, a GOAWAY came, or its address left the list ◄────┘
/// ```
/// - A pass tries the addresses in order, the next one 250 ms after the last began or as soon as
///   one fails (RFC 8305 §5); the first whose SETTINGS arrive wins.
/// - Backoff runs from the start of a pass to the start of the next; an attempt may take until the
///   backoff deadline, at least 20 s (connection-backoff.md).
/// - After backoff the subchannel reports IDLE and waits for `connect`, as in gRFC A61; a `connect`
///   that came during backoff is kept and leads straight to CONNECTING. Showing failure until READY
///   (gRFC A62) is done by the policy.
/// - SETTINGS reset the backoff, so a server that closes right after them would be connected to in
///   a tight loop. After two connections in a row to one address on which no call was answered
///   (``ConnectionUse``) that address has a backoff of its own, from the start of the last one;
///   other addresses are tried before it, and where all are in backoff the state is
///   TRANSIENT_FAILURE. A connection that answered a call resets the count, whenever and however it
///   ended: proxies and servers close connections after a number of requests, an age or an idle
///   time. One on which no call was sent counts only if it ended within 250 ms
///   (docs/decisions/0023-use-decides-about-the-next-connection.md).
package struct SubchannelCore: Sendable {
  /// RFC 8305 §5, "Connection Attempt Delay".
  package static let attemptDelay: UInt64 = 250_000_000
  /// connection-backoff.md, MIN_CONNECT_TIMEOUT.
  package static let minimumConnectTimeout: UInt64 = 20_000_000_000
  /// An unused connection that lasted this long does not count as of no use: no call was waiting.
  private static let minimumUsableTime: UInt64 = 250_000_000

  struct Attempt: Sendable {
    var id: UInt32
    var address: Address
    var began: UInt64
  }
  struct Pass: Sendable {
    /// Not tried yet, in order.
    var waiting: [Address]
    var attempts: [Attempt] = []
    /// When the next address may start if none has failed by then.
    var nextStart: UInt64
    var backoffDeadline: UInt64
    /// Addresses that failed in this pass.
    var failed: Set<Address> = []
    var lastError: String?
  }
  enum Phase: Sendable {
    case idle
    case connecting(Pass)
    case ready(Attempt)
    case backingOff(until: UInt64, wanted: Bool)
    case closed
  }

  package private(set) var endpoint: Endpoint
  var phase = Phase.idle
  var backoff: Backoff
  var scaling = ConnectionScaling()
  /// Connections in a row to one address that were of no use.
  private struct UnproductiveUse: Sendable {
    var count = 0
    var backoff: Backoff
    /// The next attempt starts no earlier.
    var notBefore: UInt64 = 0
    /// This many in a row have no consequence.
    static let toleratedCount = 1
    var isProven: Bool { count > UnproductiveUse.toleratedCount }
  }
  private var unproductive: [Address: UnproductiveUse] = [:]
  /// The configured backoff, copied for each address.
  private let freshBackoff: Backoff
  /// Connections that ended with calls under way.
  private var undecided: [UInt32: Attempt] = [:]
  var lastID: UInt32 = 0
  var history: [Address: AddressFailure] = [:]

  package init(_ endpoint: Endpoint, backoff: Backoff = Backoff()) {
    self.endpoint = endpoint
    self.backoff = backoff
    self.freshBackoff = backoff
  }

  package var state: ConnectivityState {
    switch phase {
    case .idle: .idle
    case .connecting: .connecting
    case .ready: .ready
    case .backingOff: .transientFailure
    case .closed: .shutdown
    }
  }

  /// The last failure of each address, in the endpoint's order; none for addresses that work.
  package var failures: [AddressFailure] { endpoint.addresses.compactMap { history[$0] } }

  /// When the next pass begins; nil unless it waits for that.
  package var nextAttempt: UInt64? {
    if case .backingOff(let until, _) = phase { until } else { nil }
  }

  package mutating func handle(
    _ event: SubchannelEvent, now: UInt64, random: inout some RandomNumberGenerator
  ) -> [SubchannelAction] {
    if case .closed = phase { return [] }
    var actions: [SubchannelAction] = []
    switch event {
    case .connect: connect(now, &random, &actions)
    case .update(let endpoint): update(endpoint, now, &actions)
    case .ready(let id):
      if !scaled(id, &actions) { ready(id, &actions) }
    case .failed(let id, let error):
      if !scalingFailed(id, error, now, &random, &actions) { failed(id, error, now, &actions) }
    case .ended(let id, let error, let use): ended(id, error, use, now, &random, &actions)
    case .decided(let id, let answered):
      if let attempt = undecided.removeValue(forKey: id) { decided(answered, attempt, &random) }
    case .timer: timer(now, &random, &actions)
    case .streamsWanted(let isWanted):
      scaling.isWanted = isWanted
      scale(now, &random, &actions)
    case .maximumConnections(let maximum):
      scaling.maximum = maximum
      scale(now, &random, &actions)
    case .resetBackoff:
      backoff.reset()
      unproductive = [:]
      scaling.notBefore = 0
      scale(now, &random, &actions)
      if case .backingOff(_, let wanted) = phase { leaveBackoff(wanted, now, &random, &actions) }
    case .close:
      release(&actions)
      phase = .closed
      actions.append(.report(.shutdown, error: nil))
    }
    return actions
  }
}

// MARK: - Starting

extension SubchannelCore {
  private mutating func connect(
    _ now: UInt64, _ random: inout some RandomNumberGenerator, _ actions: inout [SubchannelAction]
  ) {
    switch phase {
    case .idle: begin(now, &random, &actions)
    case .backingOff(let until, _): phase = .backingOff(until: until, wanted: true)
    case .connecting, .ready, .closed: break
    }
  }

  /// A pass over all addresses.
  private mutating func begin(
    _ now: UInt64, _ random: inout some RandomNumberGenerator, _ actions: inout [SubchannelAction]
  ) {
    let candidates = candidates(now)
    let first = endpoint.addresses.min { restEnd($0) < restEnd($1) }
    if candidates.isEmpty, let first {
      let until = restEnd(first)
      phase = .backingOff(until: until, wanted: true)
      actions.append(.timer(at: until))
      let why = history[first].map { "\(first) \($0.error)" }
      actions.append(
        .report(.transientFailure, error: why ?? "connections ended before a call was answered"))
      return
    }
    actions.append(.report(.connecting, error: nil))
    let pass = Pass(
      waiting: candidates, nextStart: now,
      backoffDeadline: now.saturatingAdd(backoff.next(using: &random)))
    proceed(pass, now, &actions)
  }

  /// The addresses that may be tried, once each: those that were of no use last, and only when
  /// their backoff has ended.
  func candidates(_ now: UInt64) -> [Address] {
    var seen: Set<Address> = []
    let awake = endpoint.addresses.filter { seen.insert($0).inserted && restEnd($0) <= now }
    return awake.filter { restEnd($0) == 0 } + awake.filter { restEnd($0) > 0 }
  }

  /// 0 for an address without a backoff of its own.
  func restEnd(_ address: Address) -> UInt64 { unproductive[address]?.notBefore ?? 0 }

  /// Starts the attempts that are due, ends the pass if nothing is left.
  mutating func proceed(
    _ pass: Pass, _ now: UInt64, _ actions: inout [SubchannelAction]
  ) {
    var pass = pass
    if pass.nextStart <= now, !pass.waiting.isEmpty {
      let address = pass.waiting.removeFirst()
      lastID &+= 1
      pass.attempts.append(Attempt(id: lastID, address: address, began: now))
      pass.nextStart = now.saturatingAdd(SubchannelCore.attemptDelay)
      let deadline = max(
        pass.backoffDeadline, now.saturatingAdd(SubchannelCore.minimumConnectTimeout))
      actions.append(.attempt(id: lastID, address: address, deadline: deadline))
    }
    guard pass.attempts.isEmpty, pass.waiting.isEmpty else {
      if !pass.waiting.isEmpty { actions.append(.timer(at: pass.nextStart)) }
      phase = .connecting(pass)
      return
    }
    phase = .backingOff(until: pass.backoffDeadline, wanted: false)
    actions.append(.timer(at: pass.backoffDeadline))
    actions.append(.report(.transientFailure, error: pass.lastError ?? "no address to connect to"))
  }

  private mutating func timer(
    _ now: UInt64, _ random: inout some RandomNumberGenerator, _ actions: inout [SubchannelAction]
  ) {
    switch phase {
    case .connecting(let pass) where !pass.waiting.isEmpty:
      proceed(pass, now, &actions)
    case .backingOff(let until, let wanted):
      if until <= now {
        leaveBackoff(wanted, now, &random, &actions)
      } else {
        actions.append(.timer(at: until))
      }
    case .ready: scale(now, &random, &actions)
    default: break
    }
  }

  private mutating func leaveBackoff(
    _ wanted: Bool, _ now: UInt64, _ random: inout some RandomNumberGenerator,
    _ actions: inout [SubchannelAction]
  ) {
    if wanted {
      begin(now, &random, &actions)
    } else {
      phase = .idle
      actions.append(.report(.idle, error: nil))
    }
  }
}

// MARK: - Outcomes

extension SubchannelCore {
  private mutating func ready(_ id: UInt32, _ actions: inout [SubchannelAction]) {
    guard case .connecting(let pass) = phase,
      let winner = pass.attempts.first(where: { $0.id == id })
    else { return }
    for other in pass.attempts where other.id != id { actions.append(.abandon(id: other.id)) }
    backoff.reset()
    history[winner.address] = nil
    phase = .ready(winner)
    actions.append(.report(.ready, error: nil))
  }

  private mutating func failed(
    _ id: UInt32, _ error: String, _ now: UInt64, _ actions: inout [SubchannelAction]
  ) {
    guard case .connecting(var pass) = phase,
      let i = pass.attempts.firstIndex(where: { $0.id == id })
    else { return }
    let attempt = pass.attempts.remove(at: i)
    pass.failed.insert(attempt.address)
    pass.lastError = "\(attempt.address) \(error)"
    note(attempt.address, error, now, attempt: (history[attempt.address]?.attempt ?? 0) + 1)
    pass.nextStart = now  // RFC 8305 §5: after a failure the next attempt starts at once
    proceed(pass, now, &actions)
  }

  private mutating func ended(
    _ id: UInt32, _ error: String?, _ use: ConnectionUse, _ now: UInt64,
    _ random: inout some RandomNumberGenerator, _ actions: inout [SubchannelAction]
  ) {
    guard case .ready(let first) = phase,
      let attempt = first.id == id ? first : scaling.others.first(where: { $0.id == id })
    else { return }
    switch use {
    case .answered: decided(true, attempt, &random)
    case .unanswered: decided(false, attempt, &random)
    case .undecided: undecided[attempt.id] = attempt
    case .unused:
      let lived = now >= attempt.began ? now - attempt.began : 0
      if lived < SubchannelCore.minimumUsableTime { decided(false, attempt, &random) }
    }
    if let count = unproductive[attempt.address]?.count {
      let what = error ?? "ended the connection with GOAWAY before it answered a call"
      note(attempt.address, what, now, attempt: count)
    } else if let error {
      note(attempt.address, error, now, attempt: 0)
    }
    if attempt.id == first.id {
      firstEnded(first, error.map { "\(attempt.address) \($0)" }, now, &actions)
    } else {
      scaling.others.removeAll { $0.id == id }
    }
    scale(now, &random, &actions)
  }

  private mutating func decided(
    _ answered: Bool, _ attempt: Attempt, _ random: inout some RandomNumberGenerator
  ) {
    guard !answered else {
      unproductive[attempt.address] = nil
      return
    }
    guard endpoint.addresses.contains(attempt.address) else { return }
    var state = unproductive[attempt.address] ?? UnproductiveUse(backoff: freshBackoff)
    state.count += 1
    if state.isProven {
      state.notBefore = attempt.began.saturatingAdd(state.backoff.next(using: &random))
    }
    unproductive[attempt.address] = state
  }

  private mutating func note(_ address: Address, _ error: String, _ now: UInt64, attempt: Int) {
    history[address] = AddressFailure(address: address, error: error, at: now, attempt: attempt)
  }
}

// MARK: - New addresses

extension SubchannelCore {
  private mutating func update(
    _ new: Endpoint, _ now: UInt64, _ actions: inout [SubchannelAction]
  ) {
    let old = Set(endpoint.addresses)
    let listed = Set(new.addresses)
    // Another server name means another certificate and `:authority`: connections made for the old
    // one cannot be used.
    let sameServer = new.serverName == endpoint.serverName
    endpoint = new
    history = history.filter { listed.contains($0.key) }
    unproductive = sameServer ? unproductive.filter { listed.contains($0.key) } : [:]

    switch phase {
    case .idle, .closed: break
    case .ready(let attempt):
      let isGone = { (attempt: Attempt) in !sameServer || !listed.contains(attempt.address) }
      drainOthers(where: isGone, &actions)
      guard isGone(attempt) else { return }
      actions.append(.drain(id: attempt.id))
      firstEnded(attempt, nil, now, &actions)
    case .connecting(var pass):
      pass.attempts.removeAll { attempt in
        guard !sameServer || !listed.contains(attempt.address) else { return false }
        actions.append(.abandon(id: attempt.id))
        return true
      }
      var begun = pass.failed.union(pass.attempts.map(\.address))
      pass.waiting = candidates(now).filter { begun.insert($0).inserted }
      // No attempt is under way: no reason to wait.
      if pass.attempts.isEmpty { pass.nextStart = now }
      proceed(pass, now, &actions)
    case .backingOff(let until, _):
      // Addresses that were never tried do not wait for the others' backoff.
      var seen = old
      let fresh = new.addresses.filter { seen.insert($0).inserted }
      guard !fresh.isEmpty else { return }
      actions.append(.report(.connecting, error: nil))
      proceed(
        Pass(waiting: fresh, nextStart: now, backoffDeadline: max(until, now)), now, &actions)
    }
  }

  private mutating func release(_ actions: inout [SubchannelAction]) {
    switch phase {
    case .connecting(let pass):
      for attempt in pass.attempts { actions.append(.abandon(id: attempt.id)) }
    case .ready(let attempt):
      drainOthers(where: { _ in true }, &actions)
      actions.append(.drain(id: attempt.id))
    case .idle, .backingOff, .closed: break
    }
  }
}
