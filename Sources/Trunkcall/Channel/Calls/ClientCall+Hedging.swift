// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery
internal import TrunkHTTP2
internal import TrunkSockets
internal import TrunkWire

/// The part of a call that only a hedging policy needs (gRFC A6).
///
/// ```
///   call (control loop) ── attempt 0, attempt 1, … each a `ClientCall` on its connection's loop
///                                │ response headers, or an end that is the call's
///   call (that loop) ◄── takes over its stream, response and messages; the others are cancelled
/// ```
/// Until then the call lives on the control loop and has no stream; the application's requests go to
/// ``requests``, from which each attempt reads. Owned by the call, touched where it is.
final class HedgedCall {
  private var state: HedgeState
  /// Those that have not ended, and the one that is chosen.
  private var attempts: [Int: ClientCall] = [:]
  private var lastEnded: ClientCall?
  /// Those that were given to a connection, in that order.
  private var begun: [Int] = []
  private var timer: LoopTimer?
  let requests = HedgedRequests()
  private let tried = TriedServers()
  var buffer = ReplayBudget()
  /// One line for each attempt that failed.
  private(set) var history: [String] = []
  /// An attempt was chosen: the call is on its way to the attempt's loop, or there.
  private(set) var isCommitted = false
  /// The call has the chosen attempt's stream; until then requests go to ``requests``.
  fileprivate(set) var isTakenOver = false
  /// Of the chosen attempt, once the call has its stream.
  fileprivate(set) var chosen = 0

  /// Whether an attempt was given to a connection.
  var hasBegun: Bool { !begun.isEmpty }

  init(_ policy: HedgingPolicy, cap: Int) { state = HedgeState(policy, cap: cap) }

  // MARK: The call's side

  func begin(_ call: ClientCall) {
    if let frame = call.firstFrame { requests.append([frame] + call.moreFrames) }
    if call.requestsEnded { requests.end() }
    call.firstFrame = nil
    call.moreFrames = []
    let canReplay = buffer.allowsReplay(call.context) && call.context.furtherAttempts.add(call)
    let tokens = call.context.retryTokens.withLock { $0 }
    perform(state.begin(now: Clock.now(), canReplay: canReplay, tokens: tokens), call)
  }

  /// - Returns: false: the writer need not wait.
  func write(_ frame: [UInt8], _ call: ClientCall) -> Bool {
    requests.append([frame])
    if !isCommitted { buffer.add(frame.count, call.context) }
    for attempt in attempts.values { attempt.postToOwningLoop { $0.pullRequests() } }
    if !isCommitted, !buffer.allowsReplay(call.context),
      let oldest = begun.first ?? attempts.keys.min()
    {
      perform(state.outgrown(oldest), call)
    }
    return false
  }

  func finish() {
    requests.end()
    for attempt in attempts.values { attempt.postToOwningLoop { $0.pullRequests() } }
  }

  /// The channel was closed: attempts under way go on, none is added.
  func stop(_ call: ClientCall) {
    guard !isCommitted, call.outcome == nil else { return }
    perform(state.stop(), call)
  }

  /// The call has its outcome.
  func end(_ call: ClientCall) {
    if !isCommitted { call.context.furtherAttempts.remove(call) }
    timer?.cancel()
    timer = nil
    for attempt in attempts.values { attempt.cancel() }
    forget()
  }

  fileprivate func forget() {
    attempts = [:]
    lastEnded = nil
    requests.clear()
  }

  // MARK: Attempts

  /// An attempt of the call tells something.
  fileprivate func handle(_ event: HedgeAttempt.Event, of number: Int, _ call: ClientCall) {
    guard !isCommitted, call.outcome == nil, attempts[number] != nil else { return }
    switch event {
    case .began: begun.append(number)
    case .answered: perform(state.answered(number), call)
    case .ended(let end, let line):
      if let line { history.append(line) }
      let actions = call.context.retryTokens.withLock {
        state.ended(number, end, now: Clock.now(), tokens: &$0)
      }
      begun.removeAll { $0 == number }
      lastEnded = attempts.removeValue(forKey: number)
      perform(actions, call)
    }
  }

  private func perform(_ actions: [HedgeState.Action], _ call: ClientCall) {
    // After the commit the call may be on another loop already.
    for action in actions where !isCommitted {
      switch action {
      case .start(let number): start(number, call)
      case .wake(let time):
        let timer = timer ?? LoopTimer(on: call.context.controlLoop) { self.wake(call) }
        timer.schedule(at: time)
        self.timer = timer
      case .commit(let number): commit(number, call)
      }
    }
  }

  private func start(_ number: Int, _ call: ClientCall) {
    let attempt = ClientCall(attemptOf: call, HedgeAttempt(call, number, requests, tried))
    attempts[number] = attempt
    attempt.pullRequests()
    call.context.pickOnControlLoop(attempt)
    if !buffer.allowsReplay(call.context) { perform(state.outgrown(number), call) }
  }

  private func wake(_ call: ClientCall) {
    guard !isCommitted, call.outcome == nil else { return }
    let tokens = call.context.retryTokens.withLock { $0 }
    perform(state.timer(now: Clock.now(), tokens: tokens), call)
  }

  private func commit(_ number: Int, _ call: ClientCall) {
    guard let chosen = attempts.removeValue(forKey: number) ?? lastEnded else { return }
    isCommitted = true
    call.context.furtherAttempts.remove(call)
    for other in attempts.values { other.supersede() }
    // If the call ends on its way, so does the attempt.
    attempts = [number: chosen]
    timer?.cancel()
    timer = nil
    buffer.release(call.context)
    call.stopTimer()
    call.takeOver(chosen)
  }
}

/// What the application has written, for all attempts. `Locked`: the call's loop appends, the loops
/// of the attempts read.
final class HedgedRequests: Sendable {
  private struct State {
    var frames: [[UInt8]] = []
    var isEnded = false
  }
  private let state = Locked(State())

  func append(_ frames: [[UInt8]]) { state.withLock { $0.frames += frames } }
  func end() { state.withLock { $0.isEnded = true } }
  func clear() { state.withLock { $0.frames = [] } }

  /// The frames from `first` on, and whether they are the last.
  func frames(from first: Int) -> (frames: [[UInt8]], isEnded: Bool) {
    state.withLock { (Array($0.frames[min(first, $0.frames.count)...]), $0.isEnded) }
  }
}

/// The part of an attempt that its hedged call needs. Owned by the attempt, touched where it is.
final class HedgeAttempt {
  enum Event: Sendable {
    /// It was given to a connection.
    case began
    /// Response headers came.
    case answered
    /// It is over; a line for the diagnostics if it failed.
    case ended(HedgeState.End, line: String?)
  }

  /// Counted from 0.
  let number: Int
  fileprivate let requests: HedgedRequests
  /// Of all attempts of the call.
  let tried: TriedServers
  /// Frames that were taken from the call's requests.
  fileprivate var pulled = 0
  /// Its status is the call's whatever the policy says.
  fileprivate var isFinal = false
  /// It was cancelled because another attempt is the call.
  fileprivate(set) var isSuperseded = false
  /// nil once the attempt is over.
  fileprivate var call: ClientCall?

  init(
    _ call: ClientCall, _ number: Int, _ requests: HedgedRequests, _ tried: TriedServers
  ) {
    self.call = call
    self.number = number
    self.requests = requests
    self.tried = tried
  }

  func began() { post(.began) }
  func answered() { post(.answered) }

  /// The attempt has its outcome.
  func ended(_ attempt: ClientCall) {
    var code: RPCError.Code?
    var line: String?
    if case .failed(let error) = attempt.outcome {
      code = error.code
      line = attemptLine(number + 1, error, peer: attempt.peer, began: attempt.attemptBegan)
    }
    let pushback = RetryState.Pushback(
      attempt.response.trailingMetadata["grpc-retry-pushback-ms"])
    post(.ended(HedgeState.End(code, pushback, isFinal: isFinal), line: line))
    call = nil
  }

  private func post(_ event: Event) {
    let number = number
    call?.postToOwningLoop { call in
      guard case .hedged(let hedged) = call.policy else { return }
      hedged.handle(event, of: number, call)
    }
  }
}

extension ClientCall {
  /// Makes the first attempt; on the control loop.
  func beginHedging() {
    guard case .hedged(let hedged) = policy else { return }
    watchDeadline(on: context.controlLoop)
    hedged.begin(self)
  }

  /// No attempt was given to a connection yet; the call is on the control loop.
  var isWaitingHedged: Bool {
    if case .hedged(let hedged) = policy { !hedged.isCommitted && !hedged.hasBegun } else { false }
  }

  /// A policy dropped the call: neither retries nor hedges follow.
  func drop(_ error: RPCError) {
    if case .hedge(let attempt) = policy { attempt.isFinal = true }
    settle(.failed(error))
  }

  /// Writes what the hedged call has got from the application since the last time.
  func pullRequests() {
    guard case .hedge(let attempt) = policy, attempt.call != nil, outcome == nil else { return }
    let (frames, isEnded) = attempt.requests.frames(from: attempt.pulled)
    attempt.pulled += frames.count
    for frame in frames {
      do throws(RPCError) { _ = try enqueue(frame) } catch { return }  // settled
    }
    if isEnded { endRequests() }
  }

  /// Cancels an attempt as another one was chosen, which says nothing about its server.
  fileprivate func supersede() {
    onOwningLoop { if case .hedge(let attempt) = $0.policy { attempt.isSuperseded = true } }
    cancel()
  }

  /// Goes to the loop of the chosen attempt; the caller does not access the call afterwards.
  func takeOver(_ attempt: ClientCall) {
    let index = attempt.loopIndex
    setOwningLoop(at: index)
    context.loops[index].later { [self] in
      // An attempt without response headers may have been refused meanwhile, and picked again.
      guard attempt.loopIndex == index else { return takeOver(attempt) }
      become(attempt, on: index)
    }
  }

  /// On the attempt's loop: what it is becomes this call's, and it ends without a trace.
  private func become(_ attempt: ClientCall, on index: Int) {
    guard outcome == nil, case .hedge(let hedge) = attempt.policy,
      case .hedged(let hedged) = policy
    else { return attempt.cancel() }
    hedged.isTakenOver = true
    hedged.chosen = hedge.number
    response = attempt.response
    reader = attempt.reader
    inbound = attempt.inbound
    reply = attempt.reply
    uncreditedBytes = attempt.uncreditedBytes
    peer = attempt.peer
    canReplay = attempt.canReplay
    wasRefused = attempt.wasRefused
    hedge.call = nil
    if let ended = attempt.outcome {
      hedged.end(self)
      return settle(ended)
    }
    let rest = hedged.requests.frames(from: hedge.pulled).frames
    firstFrame = attempt.firstFrame
    moreFrames = attempt.moreFrames
    keptBytes = attempt.keptBytes
    attempt.handOver(to: self)
    hedged.forget()
    for frame in rest {
      keep(frame)
      stream?.write(frame)
    }
    guard let stream else { return context.pickOnControlLoop(self) }
    if requestsEnded { stream.finish() }
    watchDeadline(on: context.loops[index])
    if isUnary { return }
    wakeHeadersWaiters()
    wakeReader()
    if !stream.isAboveMark { wakeSenders(nil) }
  }

  /// The attempt's stream is the call's; the attempt is over.
  private func handOver(to call: ClientCall) {
    stopTimer()
    if ticket != nil {
      // The call is picked for again; this pick was for nothing.
      if case .hedge(let attempt) = policy { attempt.isSuperseded = true }
      leaveQueue()
    }
    outcome = .ok
    markOver()
    firstFrame = nil
    moreFrames = []
    inbound.removeAll()
    reply = nil
    (stream as? CallStream)?.handOver(to: call)
    call.stream = stream
    call.connection = connection
    call.observer = observer
    call.token = token
    call.subchannel = subchannel
    call.attemptBegan = attemptBegan
    stream = nil
    connection = nil
    observer = nil
    token = nil
  }
}
