// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery
internal import TrunkHTTP2
internal import TrunkSockets
internal import TrunkWire

/// One connection to a server: the socket, an HTTP/2 session on it, the calls on that. Bound to its
/// loop.
///
/// ```
///   connecting ─► handshake ─ SETTINGS ─► ready ── GOAWAY, drain() ──► draining ── last call ──┐
///      └───────────┴──── failed ─────────► closed ◄── fail() ────┴────────────────────────────┘
/// ```
final class ClientConnection {
  let loop: EventLoop
  let loopIndex: Int
  /// The `:authority` of its calls.
  let authority: [UInt8]
  /// `10.0.0.7:50051`.
  @exclusivity(unchecked) private(set) var peer: String
  /// Why it failed, for the calls that were on it.
  @exclusivity(unchecked) private(set) var failure = "the connection was closed"
  /// It failed because the server violated HTTP/2.
  @exclusivity(unchecked) private(set) var wasViolated = false

  enum Phase { case connecting, handshake, ready, draining, closed }
  @exclusivity(unchecked) var phase = Phase.connecting
  private let address: Address
  let settings: ConnectionSettings
  private let report: @Sendable (ConnectionEvent) -> Void
  /// Until the server's SETTINGS.
  @exclusivity(unchecked) var progress: ConnectProgress?
  @exclusivity(unchecked) private var race: ConnectionAttemptRace?
  @exclusivity(unchecked) var socket: SocketConnection?
  @exclusivity(unchecked) var session: HTTP2Session?
  @exclusivity(unchecked) private var timer: LoopTimer?
  @exclusivity(unchecked) var liveness: Liveness?
  @exclusivity(unchecked) var livenessTimer: LoopTimer?
  @exclusivity(unchecked) var acknowledgements: AcknowledgementWatch?
  @exclusivity(unchecked) var acknowledgementTimer: LoopTimer?
  /// No call is under way: nobody looks whether the host acknowledges.
  @exclusivity(unchecked) var isUnwatched = false
  @exclusivity(unchecked) var sendTimer: LoopTimer?
  @exclusivity(unchecked) var keepalive: Keepalive?
  @exclusivity(unchecked) var keepaliveTimer: LoopTimer?
  /// No call is under way, and keepalive PINGs are sent with calls only.
  @exclusivity(unchecked) var keepaliveIsDormant = false
  /// The connections to the same server, where there may be several; nil on a loop's own one.
  @exclusivity(unchecked) var group: ConnectionGroup?
  /// A loop's own connection: where its calls go when it has no stream for them.
  @exclusivity(unchecked) var overflow: ConnectionReference?
  /// Calls went there, and may wait.
  @exclusivity(unchecked) var hasHandedOver = false
  @exclusivity(unchecked) private var outcomes: [PickOutcome] = []
  @exclusivity(unchecked) private var isAbandoned = false
  @exclusivity(unchecked) private var hasReceived = false
  @exclusivity(unchecked) private var hasReceivedGoAway = false
  /// A call was answered on it.
  @exclusivity(unchecked) var hasAnswered = false
  /// It was reported to have ended as `.undecided`.
  @exclusivity(unchecked) private var isUndecided = false
  /// Calls that were started on it; read for the idle timeout.
  @exclusivity(unchecked) private(set) var callsBegun: UInt64 = 0
  @exclusivity(unchecked) private(set) var callsUnderWay = 0
  @exclusivity(unchecked) private var callsFailed: UInt64 = 0
  /// Nanoseconds: a moving average, each call an eighth.
  @exclusivity(unchecked) private var latency: UInt64 = 0

  init(
    _ loop: EventLoop, loopIndex: Int, to address: Address, authority: [UInt8],
    _ settings: ConnectionSettings, report: @escaping @Sendable (ConnectionEvent) -> Void
  ) {
    self.loop = loop
    self.loopIndex = loopIndex
    self.address = address
    self.authority = authority
    self.settings = settings
    self.report = report
    peer = "\(address)"
    if let timeout = settings.livenessTimeout {
      liveness = Liveness(timeout: UInt64(max(1, timeout.nanoseconds)))
    }
    if let timeout = settings.acknowledgementTimeout {
      acknowledgements = AcknowledgementWatch(timeout: UInt64(max(1, timeout.nanoseconds)))
      isUnwatched = true
    }
  }

  // MARK: From the control loop

  func begin(deadline: UInt64) {
    guard let filter = settings.filter, !filter.isReady() else { return start(deadline) }
    let bound = LoopBound(self, on: loop)
    Task {
      await filter.prepare()
      bound.loop.run { bound.value.start(deadline) }
    }
  }

  private func start(_ deadline: UInt64) {
    guard phase == .connecting, race == nil else { return }
    let race = ConnectionAttemptRace(loop, options: settings.socket, deadline: deadline) { result in
      self.connected(result, deadline)
    }
    self.race = race
    race.start(address.destination, lookUpTimeout: settings.lookUpTimeout)
  }

  /// Closes at once; afterwards reports neither `.ready` nor `.failed` nor `.ended`.
  func abandon(_ why: String) {
    isAbandoned = true
    fail(why)
  }

  /// Lets its calls finish, then closes.
  /// - Parameter returnsUnsent: calls that wait here for a stream are picked for again.
  func drain(returnsUnsent: Bool) {
    switch phase {
    case .connecting, .handshake: abandon("no longer needed")
    case .ready:
      if !returnsUnsent { group?.beginAll(on: self) }
      phase = .draining
      isAbandoned = true
      if returnsUnsent { session?.returnUnsent() }
      group?.remove(self)
      closeIfDone()
    case .draining, .closed: break
    }
  }

  // MARK: Calls

  /// Opens a stream for a call.
  /// - Returns: nil if no stream can be opened here any more.
  /// - Throws: RESOURCE_EXHAUSTED if the server does not take headers of that size.
  func open(_ call: ClientCall) throws(RPCError) -> HTTP2Stream? {
    guard phase == .ready, let session, !session.goAwayReceived else { return nil }
    session.withHeaders { call.writeHeaders(&$0, authority: authority) }
    if session.peerHeaderListLimit != .max, session.headerListSize > session.peerHeaderListLimit {
      let size = session.headerListSize
      session.withHeaders { $0.removeAll() }
      throw RequestHeaders.oversize(size, of: session.peerHeaderListLimit, for: peer)
    }
    let stream = CallStream(call, session)
    guard session.open(stream) else {
      // Out of stream ids (RFC 9113 §5.1.1), or terminated: the next call needs another connection.
      retire()
      return nil
    }
    callsBegun &+= 1
    callsUnderWay += 1
    if keepaliveIsDormant { checkKeepalive() }
    if isUnwatched { watchAcknowledgements() }
    return stream
  }

  var isTakingCalls: Bool { phase == .ready }

  var counts: CallCounts {
    var counts = CallCounts()
    counts.inFlight = callsUnderWay
    counts.begun = callsBegun
    counts.failed = callsFailed
    counts.latency = .nanoseconds(Int64(clamping: latency))
    return counts
  }

  /// Takes no more calls; those under way go on.
  private func retire() {
    guard phase == .ready else { return }
    notifyEnded(nil, use)
    phase = .draining
    let bound = LoopBound(self, on: loop)
    loop.later { bound.value.closeIfDraining() }
  }

  /// - Parameters:
  ///   - isOK: whether its status is OK.
  ///   - began: when it was given to this connection.
  func callEnded(isOK: Bool, began: UInt64) {
    callsUnderWay -= 1
    if !isOK { callsFailed &+= 1 }
    // The loop's own time spares a look at the clock.
    let took = loop.now > began ? loop.now - began : 1
    latency = latency == 0 ? took : latency &- latency >> 3 &+ took >> 3
    if let group { group.drainSoon() } else if hasHandedOver { takeBack() }
    if phase == .draining { closeIfDone() }
  }

  func note(_ outcome: PickOutcome) {
    if outcomes.isEmpty {
      let bound = LoopBound(self, on: loop)
      loop.later {
        let batch = bound.value.outcomes
        bound.value.outcomes = []
        bound.value.report(.outcomes(batch))
      }
    }
    outcomes.append(outcome)
  }

  // MARK: State

  private func connected(_ result: Result<SocketConnection, SocketError>, _ deadline: UInt64) {
    guard phase == .connecting else { return }
    race = nil
    switch result {
    case .failure(let error): fail("\(error)")
    case .success(let socket):
      phase = .handshake
      progress?.noteConnected()
      self.socket = socket
      if let peer = socket.peer?.destination, case .host = peer { self.peer = "\(peer)" }
      let filter: (any ByteFilter)?
      do throws(SocketError) {
        filter = try settings.filter?.make(String(decoding: authority, as: UTF8.self), address)
      } catch {
        return fail("\(error)")
      }
      session = HTTP2Session(
        .client, settings: settings.http2, delegate: self, pages: PagePool.sessions)
      let timer = LoopTimer(on: loop) {
        self.fail("connected, but no HTTP/2 SETTINGS came in time")
      }
      timer.schedule(at: deadline)
      self.timer = timer
      socket.start(self, filter: filter)
    }
  }

  private func closeIfDone() {
    guard callsUnderWay == 0, let session, let socket else { return }
    session.goAway()
    socket.close(afterFlush: true)
  }

  /// Reports to the control loop how it ended, once, and closes.
  func fail(_ why: String) {
    switch phase {
    case .closed: return
    case .connecting, .handshake: notify(.failed(why))
    case .ready:
      notifyEnded(why, hasAnswered ? .answered : callsBegun > 0 ? .unanswered : .unused)
    case .draining: break
    }
    decide()
    // The reason in a GOAWAY is more exact than the closing of the socket.
    failure = hasReceivedGoAway ? "\(failure); \(why)" : why
    phase = .closed
    // Each of these timers holds the connection.
    for timer in [timer, livenessTimer, acknowledgementTimer, keepaliveTimer, sendTimer] {
      timer?.cancel()
    }
    sendTimer = nil
    acknowledgementTimer = nil
    timer = nil
    livenessTimer = nil
    keepaliveTimer = nil
    race?.cancel()
    race = nil
    socket?.close()
    session?.close()
    session = nil
    report(.closed(counts))
  }

  private func notify(_ event: ConnectionEvent) {
    if !isAbandoned { report(event) }
  }

  private func notifyEnded(_ error: String?, _ use: ConnectionUse) {
    group?.remove(self)
    guard !isAbandoned else { return }
    isUndecided = use == .undecided
    report(.ended(error, use))
  }

  /// Reports whether a connection that had ended as `.undecided` has answered a call.
  func decide() {
    guard isUndecided else { return }
    isUndecided = false
    notify(.decided(answered: hasAnswered))
  }

  /// Of a connection on which calls are under way.
  private var use: ConnectionUse {
    if hasAnswered { return .answered }
    return callsBegun == 0 ? .unused : callsUnderWay > 0 ? .undecided : .unanswered
  }
}

// MARK: - Socket and session

extension ClientConnection: ConnectionDriver {
  func received(_ bytes: UnsafeRawBufferPointer) {
    guard let session else { return }
    if phase == .handshake, settings.filter == nil, !hasReceived,
      let foreign = ForeignProtocol(bytes)
    {
      return fail(foreign.ofServer)
    }
    hasReceived = true
    session.receive(bytes)
    if session.isFinished { socket?.close(afterFlush: true) }
  }

  func fill(_ output: inout OutputBuffer) {
    guard let session else { return }
    progress?.noteOpened()
    session.drain { frame in
      output.append(frame)
      return !output.isFull
    }
    if session.isFinished { socket?.close(afterFlush: true) }
  }

  func closed(_ error: SocketError?) {
    if let violation = session?.violation {
      wasViolated = true
      fail("HTTP/2 connection error: \(violation)")
    } else if phase == .handshake, !hasReceived, settings.filter == nil, error?.isTimeout != true {
      fail(ForeignProtocol.closed)
    } else if let error {
      fail("\(error)")
    } else if session?.isTerminated == true {
      fail("HTTP/2 connection error")
    } else {
      fail("the server closed the connection")
    }
  }
}

extension ClientConnection: HTTP2SessionDelegate {
  func settingsReceived() {
    guard phase == .handshake else {
      // MAX_CONCURRENT_STREAMS may have been raised.
      group?.drainSoon()
      if hasHandedOver { takeBack() }
      return
    }
    phase = .ready
    progress = nil
    timer?.cancel()
    timer = nil
    if let settings = settings.keepalive {
      keepalive = Keepalive(settings)
      checkKeepalive()
    }
    notify(.ready)
  }

  /// Any received byte counts; the socket has noted its time.
  func pingAcknowledged(_ payload: UInt64) {}

  /// Streams above the last id are closed as refused, the others go on (RFC 9113 §6.8).
  func goAwayReceived(_ lastStreamID: Int32, _ code: UInt32, _ debugText: String) {
    let text = debugText.isEmpty ? "" : " (\(debugText))"
    if code == HTTP2ErrorCode.enhanceYourCalm, debugText == "too_many_pings" {
      report(.tooManyPings(peer, keepaliveTime: settings.keepalive?.time))
    }
    switch phase {
    case .handshake:
      failure = "the server sent GOAWAY \(HTTP2ErrorCode.name(code))\(text)"
      notify(.failed(failure))
      isAbandoned = true
      phase = .draining
    case .ready:
      failure = "the server sent GOAWAY \(HTTP2ErrorCode.name(code))\(text)"
      notifyEnded(code == HTTP2ErrorCode.noError ? nil : failure, use)
      phase = .draining
    case .connecting, .draining, .closed: return
    }
    hasReceivedGoAway = true
    // Not inside the callback: nghttp2 is about to close the streams above the last id.
    let bound = LoopBound(self, on: loop)
    loop.later { bound.value.closeIfDraining() }
  }

  private func closeIfDraining() {
    if phase == .draining { closeIfDone() }
  }

  func needsFlush() { socket?.setNeedsFlush() }
}
