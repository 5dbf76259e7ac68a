// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

internal import TrunkDiscovery
internal import TrunkHTTP2
internal import TrunkSockets

/// The timers of a connection: keepalive, idle time and age, headers, sending; and its budgets.
/// Each timer is made when it is needed. Timer and connection hold each other until the connection
/// is closed: weak references to a connection would make every call's retains of it slow.
extension ServerConnection {
  /// The payload of keepalive PINGs.
  static let keepalivePing: UInt64 = 0x6b65_6570_616c
  /// For a client that does not read its GOAWAY, or the status of its calls.
  static let finalFlushTimeout: Duration = .seconds(1)

  /// Starts the timers; they end when the connection is closed.
  func beginWatch() {
    idleSince = loop.now
    if let settings = server.keepalive {
      keepalive = Keepalive(settings)
      checkKeepalive()
    }
    if !server.life.isEndless {
      var random = SystemRandom()
      life = ConnectionLife(server.life, born: loop.now, random: &random)
      checkLife()
    }
  }

  func endWatch() {
    for timer in [keepaliveTimer, lifeTimer, headerTimer, sendTimer] { timer?.cancel() }
    keepaliveTimer = nil
    lifeTimer = nil
    headerTimer = nil
    sendTimer = nil
  }

  // MARK: Keepalive (gRFC A8)

  private func checkKeepalive() {
    switch keepalive?.check(now: Clock.now(), lastRead: socket.lastReceived, hasCalls: true) {
    case .wait(let until): schedule(&keepaliveTimer, at: until) { $0.checkKeepalive() }
    case .ping(let checkAt):
      session.ping(ServerConnection.keepalivePing)
      schedule(&keepaliveTimer, at: checkAt) { $0.checkKeepalive() }
    case .dead:
      context.counters.note(.keepaliveTimeout)
      socket.fail(SocketError.timedOut("keepalive"))
    case .dormant, nil: break
    }
  }

  // MARK: Idle, age, grace (gRFC A9)

  private func checkLife() {
    let idleSince = session.openStreams == 0 ? idleSince : nil
    switch life?.check(now: Clock.now(), idleSince: idleSince) {
    case .wait(let until): schedule(&lifeTimer, at: until) { $0.checkLife() }
    case .drain(let reason):
      context.counters.note(reason == .maxIdle ? .maxIdle : .maxAge)
      drain(reason.rawValue)
      checkLife()
    case .close:
      context.counters.note(.ageGraceOver)
      closeNow()
    case .done, nil: break
    }
  }

  // MARK: Header blocks that do not end

  func watchHeaderBlock(_ block: UInt64) {
    guard headerTimer?.isScheduled != true else { return }
    let due = Clock.now().adding(server.options.headerTimeout)
    schedule(&headerTimer, at: due) { connection in
      guard let open = connection.session.openHeaderBlock else { return }
      if open != block { return connection.watchHeaderBlock(open) }
      connection.context.counters.note(.headerTimeout)
      connection.kill(HTTP2ErrorCode.enhanceYourCalm, "header_timeout")
    }
  }

  // MARK: Clients that do not read

  /// The socket buffer is full: bytes wait.
  func blocked() {
    guard sendTimer?.isScheduled != true else { return }
    schedule(&sendTimer, at: socket.lastSent.adding(server.options.sendTimeout)) { connection in
      guard connection.socket.unsentCount > 0 else { return }
      let due = connection.socket.lastSent.adding(connection.server.options.sendTimeout)
      guard due <= Clock.now() else { return connection.blocked() }
      connection.context.counters.note(.sendTimeout)
      connection.socket.fail(SocketError.timedOut("send"))
    }
  }

  /// Replies to frames (PING, SETTINGS, RST_STREAM) queue up where the client does not read them:
  /// nothing is read from it then (CVE-2019-9512, 9514, 9515).
  func pauseReadingIfFull() {
    let isFull =
      socket.unsentCount > 0 && session.outboundFrames >= server.options.maxOutboundFrames
    guard isFull != socket.readsPaused else { return }
    if isFull { context.counters.note(.readPaused) }
    socket.readsPaused = isFull
  }

  // MARK: Budgets

  /// Ends the connection of a client that exceeded a budget.
  func punish() {
    guard let offence = session.offence, !isTerminated else { return }
    context.counters.note(ServerEvent(offence))
    kill(HTTP2ErrorCode.enhanceYourCalm, offence.debugText)
  }

  /// Sends GOAWAY and closes the socket; calls end at once.
  func kill(_ code: UInt32, _ debugText: String) {
    guard !isTerminated, !isClosed else { return }
    isTerminated = true
    goAwayText = debugText
    session.kill(code, debugText)
    socket.close(afterFlush: true)
    schedule(&lifeTimer, at: Clock.now().adding(ServerConnection.finalFlushTimeout)) {
      $0.socket.close()
    }
  }

  private func schedule(
    _ timer: inout LoopTimer?, at time: UInt64, _ body: @escaping (ServerConnection) -> Void
  ) {
    timer?.cancel()
    let new = LoopTimer(on: loop) { body(self) }
    new.schedule(at: time)
    timer = new
  }
}
