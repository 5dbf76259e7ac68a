// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import DequeModule
internal import Logging
internal import TrunkDiscovery
internal import TrunkSockets
internal import TrunkWire

/// The control side of a channel, on its control loop: ``ChannelCore``, the subchannels, the
/// resolver, the calls that wait, and the publishing of pickers. No locks, no calls on a
/// connection.
///
/// Events are processed one by one, so that what one causes never runs inside another. After the
/// last one the pickers are published, once a tick, if anything changed that calls depend on.
final class ChannelController {
  enum Event {
    case core(ChannelCore.Event)
    case subchannel(SubchannelID, SubchannelEvent)
    case perLoop(SubchannelID, PerLoopConnectionEvent)
  }

  let controlLoop: EventLoop
  var connectionSettings: ConnectionSettings
  /// Owns this object.
  weak var context: ChannelContext?
  let parts: ChannelParts
  let log: CallLog
  private let controlLoopIndex: Int
  private(set) var core: ChannelCore
  private(set) var subchannels: [SubchannelID: Subchannel] = [:]
  private(set) lazy var resolver = ResolverRunner(self, parts)

  private var events = Deque<Event>()
  private var isWorking = false

  // Calls
  var snapshot = PickerSnapshot(seed: UInt64.random(in: 1...UInt64.max))
  private var references: [UInt64: ConnectionReference] = [:]
  private(set) var config: ServiceConfig?
  private var referencesChanged = false
  private var publicationDue = false
  /// A call waits only for the publication that is due, whatever that changes.
  private var mayPick = false
  private var pendingCalls: PendingCalls<ClientCall>
  private var perLoopConnections: PerLoopConnectionRegistry

  // Connections, those that only finish their calls included
  private var connections: [Key: LoopBound<ClientConnection>] = [:]
  private struct Key: Hashable {
    let subchannel: SubchannelID
    let name: ConnectionName
  }
  private var nextLoop = 0
  private lazy var policyTimer = PolicyTimer(self)

  // Callers of ready(within:) and close()
  private var readyWaiters: [UInt64: (UnsafeContinuation<RPCError?, Never>, LoopTimer)] = [:]
  private var closeWaiters: [UnsafeContinuation<Void, Never>] = []
  private var closeTimer: LoopTimer?
  private var idleWatch: IdleWatch?
  /// When ``warn()`` logged last; nanoseconds.
  var lastWarning: UInt64?
  var pinnedCalls = PinnedCalls()

  init(_ parts: ChannelParts, controlLoop: EventLoop, controlLoopIndex: Int, loops: Int) {
    self.parts = parts
    log = CallLog(parts.logger)
    self.controlLoop = controlLoop
    self.controlLoopIndex = controlLoopIndex
    connectionSettings = parts.connection
    pendingCalls = PendingCalls(limit: max(0, parts.options.maxQueuedCalls))
    perLoopConnections = PerLoopConnectionRegistry(
      loops: loops, parts.options.connectionsPerEndpoint)
    var options = ChannelCore.Options()
    options.registry = parts.registry
    options.registry.maxRingSize = parts.options.maxRingSize
    options.balancer = parts.balancer
    options.defaultServiceConfig = parts.options.defaultServiceConfig
    options.usesResolverConfig = !parts.options.disablesServiceConfig
    core = ChannelCore(options)
    nextLoop = controlLoopIndex
  }

  // MARK: Events

  func post(_ event: Event) {
    events.append(event)
    guard !isWorking else { return }
    isWorking = true
    while let next = events.popFirst() { handle(next) }
    isWorking = false
  }

  private func handle(_ event: Event) {
    let now = Clock.now()
    switch event {
    case .core(let event):
      for action in core.handle(event, now: now) { perform(action) }
      requestPublication()
    case .subchannel(let id, let event): subchannels[id]?.handle(event, now: now)
    case .perLoop(let id, let event): subchannels[id]?.handle(perLoop: event, now: now)
    }
  }

  private func perform(_ action: ChannelCore.Action) {
    switch action {
    case .open(let id, let endpoint, let options): open(id, endpoint, options)
    case .update(let id, let endpoint): post(.subchannel(id, .update(endpoint)))
    case .reportLoad(let id, let interval):
      subchannels[id]?.reportLoad(every: interval)
    case .connect(let id): post(.subchannel(id, .connect))
    case .close(let id):
      guard let subchannel = subchannels.removeValue(forKey: id) else { return }
      subchannel.handle(.close, now: Clock.now())
      closed(id)
    case .resolveAgain: resolver.resolveAgain()
    case .wake(let time): policyTimer.add(time)
    case .changed(let state): stateChanged(state)
    case .configured(let config):
      self.config = config
      context?.throttle(config.retryThrottling)
      referencesChanged = true
      for subchannel in subchannels.values { subchannel.configure(config) }
    }
  }

  private func open(_ id: SubchannelID, _ endpoint: Endpoint, _ options: SubchannelOptions) {
    guard let context else { return }
    // Spread over the loops in turn, the control loop first: a channel with one server needs no hop
    // between its control side and its calls.
    let index = nextLoop
    nextLoop = (nextLoop + 1) % context.loops.count
    let subchannel = Subchannel(
      id, endpoint, options, loopIndex: index, parts: parts, controller: self)
    if let config { subchannel.configure(config) }
    subchannels[id] = subchannel
  }

  // MARK: Connections

  func connectionBegan(
    _ connection: LoopBound<ClientConnection>, _ id: SubchannelID, _ name: ConnectionName
  ) {
    connections[Key(subchannel: id, name: name)] = connection
  }

  func handle(_ event: ConnectionEvent, from name: ConnectionName, of id: SubchannelID) {
    if log.logsEnds { logEnd(event, of: id) }
    switch (event, name) {
    case (.ready, .attempt(let n)): post(.subchannel(id, .ready(id: n)))
    case (.failed(let error), .attempt(let n)): post(.subchannel(id, .failed(id: n, error: error)))
    case (.ended(let error, let use), .attempt(let n)):
      post(.subchannel(id, .ended(id: n, error: error, use: use)))
    case (.decided(let answered), .attempt(let n)):
      post(.subchannel(id, .decided(id: n, answered: answered)))
    case (.decided(let answered), .perLoop): post(.perLoop(id, .decided(answered: answered)))
    case (.ready, .perLoop(let n)): post(.perLoop(id, .ready(id: n)))
    case (.failed, .perLoop(let n)): post(.perLoop(id, .failed(id: n)))
    case (.ended(_, let use), .perLoop(let n)): post(.perLoop(id, .ended(id: n, use: use)))
    case (.outcomes(let outcomes), _): post(.core(.completed(outcomes)))
    case (.tooManyPings(let peer, let time), _): slowKeepalive(peer, time)
    case (.closed(let counts), _):
      connections[Key(subchannel: id, name: name)] = nil
      subchannels[id]?.connectionClosed(name, counts)
      if connections.isEmpty, core.state == .shutdown { finishClosing() }
    }
  }

  func opened(_ reference: ConnectionReference) {
    references[reference.subchannel.raw] = reference
    referencesChanged = true
    requestPublication()
  }

  func closed(_ id: SubchannelID) {
    guard references.removeValue(forKey: id.raw) != nil else { return }
    referencesChanged = true
    requestPublication()
  }

  // MARK: Per-loop connections

  /// A call left `loop`, which has no connection of that subchannel.
  func perLoopConnectionWanted(_ id: SubchannelID, on loop: Int) {
    if perLoopConnections.isOffered { return post(.perLoop(id, .wanted(loop: loop))) }
    // The loop does not ask again until the next publication.
    referencesChanged = true
    requestPublication()
  }

  func updateLoops(
    of id: SubchannelID, _ availability: (Int) -> (ConnectionReference?, notBefore: UInt64)
  ) {
    perLoopConnections.update(of: id, availability)
    referencesChanged = true
    requestPublication()
  }

  // MARK: Publishing

  private func requestPublication() {
    guard !publicationDue, let context else { return }
    publicationDue = true
    context.onControlLoopLater { $0.publish() }
  }

  private func publish() {
    publicationDue = false
    // Also those that began to wait between the change and its publication.
    defer { if core.state == .ready { settleReadyWaiters(.ready) } }
    let picker = core.takePicker()
    if perLoopConnections.count(subchannels.count) { referencesChanged = true }
    if picker != nil || referencesChanged, let context {
      referencesChanged = false
      let update = PickerSnapshot.Update(picker: picker, references: references, config: config)
      snapshot.apply(update)
      context.publish(update, perLoopConnections: perLoopConnections.loops)
    } else if !mayPick {
      return
    }
    mayPick = false
    for call in pendingCalls.takeAll() {
      call.leftPendingCalls()
      admit(call)
    }
  }

  // MARK: Calls

  /// Picks for a call with the newest picker, or lets it wait, or fails it.
  func admit(_ call: ClientCall) {
    guard call.outcome == nil, !call.settleIfDue() else { return }
    // The latest event is not in the picker yet: it may name a connection that is closed.
    if publicationDue {
      mayPick = true
      if core.state == .idle { wake() }
      return wait(call)
    }
    switch pick(call) {
    case .go(let reference, let token):
      call.move(to: reference, token: token, from: controlLoopIndex)
    case .noConnection(let id, let token):
      wait(call)
      if let token { notSent(id, token, .unavailable) }
    case .wait:
      wait(call)
      // An IDLE policy connects what the pick says; the picker of a channel without one just waits.
      if core.state == .idle { wake() }
    case .connect(let id):
      wait(call)
      post(.subchannel(id, .connect))
    case .fail(let error):
      resolver.resolveAgain()
      if call.waitForReady == true {
        wait(call)
      } else {
        call.attemptFailed(withDiagnostics(error))
      }
    case .drop(let error): call.drop(error.fromControlPlane)
    case .hedge: call.beginHedging()
    }
  }

  private func wait(_ call: ClientCall) {
    guard let ticket = pendingCalls.add(call) else {
      return call.settle(
        .failed(
          RPCError(
            .resourceExhausted, "\(pendingCalls.limit) calls are waiting for a server already",
            diagnostics: diagnostics(.resourceExhausted, "").diagnostics)))
    }
    call.ticket = ticket
    call.watchDeadline(on: controlLoop)
  }

  func removePending(_ ticket: PendingTicket) { pendingCalls.remove(ticket) }

  // MARK: State

  /// A call or the application wants a connection.
  func wake() {
    guard core.state != .shutdown else { return }
    resolver.start()
    post(.core(.exitIdle))
    guard idleWatch == nil, let timeout = parts.options.idleTimeout else { return }
    let watch = IdleWatch(self, timeout: timeout)
    idleWatch = watch
    watch.start()
  }

  func resetBackoff() {
    resolver.resetBackoff()
    for id in subchannels.keys { post(.subchannel(id, .resetBackoff)) }
  }

  private func stateChanged(_ state: ConnectivityState) {
    context?.watch.set(state)
    switch state {
    case .ready, .shutdown: settleReadyWaiters(state)
    case .transientFailure: warn()
    case .idle, .connecting: break
    }
  }

  // MARK: Waiting for ready

  func waitForReady(
    _ wait: WaitKey, until deadline: UInt64, _ waiter: UnsafeContinuation<RPCError?, Never>
  ) {
    let key = wait.number
    if wait.isCancelled {
      return waiter.resume(returning: RPCError(.cancelled, "the task was cancelled"))
    }
    if core.state == .ready, !publicationDue { return waiter.resume(returning: nil) }
    guard core.state != .shutdown else {
      return waiter.resume(returning: RPCError(.unavailable, "the channel is closed"))
    }
    let timer = LoopTimer(on: controlLoop) { [weak self] in
      guard let self else { return }
      self.endReadyWait(key, self.diagnostics(.unavailable, ""))
    }
    timer.schedule(at: deadline)
    readyWaiters[key] = (waiter, timer)
    wake()
  }

  func endReadyWait(_ key: UInt64, _ error: RPCError) {
    guard let (waiter, timer) = readyWaiters.removeValue(forKey: key) else { return }
    timer.cancel()
    waiter.resume(returning: error)
  }

  private func settleReadyWaiters(_ state: ConnectivityState) {
    let waiters = readyWaiters.values
    readyWaiters = [:]
    for (waiter, timer) in waiters {
      timer.cancel()
      waiter.resume(
        returning: state == .ready ? nil : RPCError(.unavailable, "the channel is closed"))
    }
  }

  // MARK: Idle

  var hasWaitingCalls: Bool { !pendingCalls.isEmpty || !readyWaiters.isEmpty }
  var openConnections: [LoopBound<ClientConnection>] { Array(connections.values) }
  var waitingCalls: Int { pendingCalls.count }
  /// Those of one subchannel that are not closed.
  func connections(of id: SubchannelID) -> [LoopBound<ClientConnection>] {
    connections.filter { $0.key.subchannel == id }.map(\.value)
  }

  /// connectivity-semantics-and-api.md: policy and resolver are released; the next call starts them
  /// again.
  func enterIdle() {
    idleWatch?.stop()
    idleWatch = nil
    resolver.stop()
    policyTimer.stop()
    post(.core(.enterIdle))
    if parts.options.freeMemoryKept != nil { FreeMemory.trimSoon() }
  }

  // MARK: Closing

  /// New calls fail from now on, those under way go on until the deadline.
  func shutDown() {
    guard core.state != .shutdown else { return }
    idleWatch?.stop()
    idleWatch = nil
    resolver.stop()
    policyTimer.stop()
    context?.furtherAttempts.close()
    post(.core(.shutDown))
    guard !connections.isEmpty else { return finishClosing() }
    let timer = LoopTimer(on: controlLoop) { [weak self] in self?.closeNow() }
    timer.schedule(after: parts.options.closeDeadline)
    closeTimer = timer
  }

  private func closeNow() {
    for connection in connections.values {
      connection.onLoop { $0.cancelCalls("the channel was closed") }
    }
  }

  func waitForClose(_ waiter: UnsafeContinuation<Void, Never>) {
    if core.state == .shutdown, connections.isEmpty { return waiter.resume() }
    closeWaiters.append(waiter)
  }

  private func finishClosing() {
    closeTimer?.cancel()
    closeTimer = nil
    let waiters = closeWaiters
    closeWaiters = []
    for waiter in waiters { waiter.resume() }
  }
}
