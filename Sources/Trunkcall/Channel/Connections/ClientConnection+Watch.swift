// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery
internal import TrunkHTTP2
internal import TrunkSockets

/// Whether the server is still there: PINGs after calls that expired and for keepalive (gRFC A8), and
/// the acknowledgements of its host. ``Liveness``, `Keepalive` and ``AcknowledgementWatch`` decide.
extension ClientConnection {
  /// HEADERS or DATA came for a call.
  func frameReceived() {
    liveness?.frameReceived()
    guard !hasAnswered else { return }
    hasAnswered = true
    decide()
  }

  /// A call that began on it at `began` has expired: checks whether the server is alive.
  func callExpired(began: UInt64) {
    guard phase == .ready || phase == .draining, let socket else { return }
    let now = Clock.now()
    guard
      liveness?.callExpired(began: began, lastReceived: socket.lastReceived, now: now) == true,
      let timeout = liveness?.timeout
    else { return }
    session?.ping(ClientConnection.livenessPing)
    let timer = LoopTimer(on: loop) { self.checkLiveness() }
    let (due, overflow) = now.addingReportingOverflow(timeout)
    timer.schedule(at: overflow ? .max : due)
    livenessTimer = timer
  }

  private static let livenessPing: UInt64 = 0x616c_6976_653f
  private static let keepalivePing: UInt64 = 0x6b65_6570_616c

  func checkKeepalive() {
    keepaliveIsDormant = false
    guard phase == .ready || phase == .draining, let socket else { return }
    let step = keepalive?.check(
      now: Clock.now(), lastRead: socket.lastReceived, hasCalls: callsUnderWay > 0)
    switch step {
    case .wait(let until): checkKeepalive(at: until)
    case .ping(let checkAt):
      session?.ping(ClientConnection.keepalivePing)
      checkKeepalive(at: checkAt)
    case .dormant: keepaliveIsDormant = true
    case .dead: fail("no answer to a keepalive ping")
    case nil: break
    }
  }

  private func checkKeepalive(at time: UInt64) {
    let timer = keepaliveTimer ?? LoopTimer(on: loop) { self.checkKeepalive() }
    keepaliveTimer = timer
    timer.schedule(at: time)
  }

  func watchAcknowledgements() {
    isUnwatched = false
    guard let due = acknowledgements?.begin(now: loop.now) else { return }
    let timer = acknowledgementTimer ?? LoopTimer(on: loop) { self.checkAcknowledgements() }
    acknowledgementTimer = timer
    timer.schedule(at: due)
  }

  private func checkAcknowledgements() {
    guard phase == .ready || phase == .draining, let socket else { return }
    guard callsUnderWay > 0 else {
      isUnwatched = true
      return
    }
    let verdict = acknowledgements?.look(lastReceived: socket.lastReceived, now: loop.now) {
      socket.acknowledgement
    }
    switch verdict {
    case .look(let time): acknowledgementTimer?.schedule(at: time)
    case .gone: fail("the host acknowledges nothing any more")
    case nil: break
    }
  }

  private func checkLiveness() {
    guard let socket, liveness?.look(lastReceived: socket.lastReceived) == .dead else { return }
    fail("no answer to a ping")
  }
}
