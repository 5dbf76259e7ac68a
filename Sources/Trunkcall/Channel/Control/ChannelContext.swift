// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import Synchronization
internal import TrunkDiscovery
internal import TrunkSockets
internal import TrunkWire

/// The parts of a channel that can be reached from every thread: its loops, their pickers, and its
/// control side, which is bound to the control loop.
///
/// Calls and connections hold it; it is released when the channel is closed and they have ended.
final class ChannelContext: Sendable {
  let target: Target
  let settings: CallSettings
  let loops: [EventLoop]
  let controlLoopIndex: Int
  let controller: LoopBound<ChannelController>
  let snapshots: [LoopBound<LoopPickerSnapshot>]
  private let shared: Locked<PickerSnapshot>
  /// As last published, for readers on any thread.
  let watch = StateWatch()

  /// Of all calls to all servers; nil without `retryThrottling`.
  let retryTokens = Locked<RetryTokens?>(nil)
  /// Whether there are ``retryTokens``.
  let throttlesRetries = Atomic<Bool>(false)
  /// Bytes that calls with a retry policy keep for further attempts.
  let retryBuffer = Atomic<Int>(0)

  let furtherAttempts = FurtherAttempts()

  /// Only if the channel has loops of its own.
  private let ownGroup: EventLoopGroup?

  init(_ parts: ChannelParts, group: EventLoopGroup, ownGroup: EventLoopGroup?) {
    self.ownGroup = ownGroup
    target = parts.target
    settings = parts.call
    loops = group.loops
    let controlLoop = group.next()
    controlLoopIndex = loops.firstIndex { $0 === controlLoop } ?? 0
    snapshots = loops.map { LoopBound(LoopPickerSnapshot(), on: $0) }
    shared = Locked(PickerSnapshot(seed: UInt64.random(in: 1...UInt64.max)))
    let controller = ChannelController(
      parts, controlLoop: controlLoop, controlLoopIndex: controlLoopIndex, loops: loops.count)
    self.controller = LoopBound(controller, on: controlLoop)
    controller.context = self
  }

  /// Own loops end when nothing can reach them any more; never on one of themselves, as a loop
  /// cannot join itself.
  deinit {
    if let ownGroup { Task.detached { ownGroup.shutdown() } }
  }

  var controlLoop: EventLoop { loops[controlLoopIndex] }

  /// Runs `body` on the control loop, at once if the caller is on it.
  func onControlLoop(_ body: @escaping @Sendable (ChannelController) -> Void) {
    controlLoop.run { [self] in body(controller.value) }
  }

  /// As ``onControlLoop(_:)``, but never inside the caller: for callers in the middle of a state
  /// change.
  func onControlLoopLater(_ body: @escaping @Sendable (ChannelController) -> Void) {
    controlLoop.later { [self] in body(controller.value) }
  }

  /// The loop that the caller runs on, if it is one of the channel's.
  var currentIndex: Int? {
    for index in loops.indices where loops[index].isCurrent { return index }
    return nil
  }

  /// Starts a new call, from whatever thread it was made on.
  func dispatch(_ call: ClientCall) {
    let answer: PickerSnapshot.Answer
    let here = currentIndex
    if let here {
      answer = snapshots[here].value.snapshot.pick(call, now: loops[here].now)
    } else {
      answer = shared.withLock { $0.pick(call, now: Clock.now()) }
    }
    if case .go(let reference, let token) = answer {
      if let here, here != reference.loopIndex {
        requestPerLoopConnection(of: reference.subchannel, from: here)
      }
      call.move(to: reference, token: token, from: here)
    } else {
      if case .noConnection(let id, let token?) = answer {
        onControlLoopLater { $0.notSent(id, token, .unavailable) }
      }
      // The control loop has the newest picker and the diagnostics: it decides about waiting and
      // failing.
      pickOnControlLoop(call)
    }
  }

  /// A call leaves the loop that it began on: asks for a connection there for the next ones.
  private func requestPerLoopConnection(of id: SubchannelID, from here: Int) {
    guard
      snapshots[here].value.snapshot.shouldRequestPerLoopConnection(of: id, now: loops[here].now)
    else { return }
    onControlLoopLater { $0.perLoopConnectionWanted(id, on: here) }
  }

  /// Lets the control loop pick: with the newest picker, after every event that was posted before.
  func pickOnControlLoop(_ call: ClientCall) {
    call.setOwningLoop(at: controlLoopIndex)
    controlLoop.later { [self] in controller.value.admit(call) }
  }

  /// For a new service config.
  func throttle(_ config: RetryThrottling?) {
    retryTokens.withLock { $0 = RetryTokens(config, keeping: $0) }
    throttlesRetries.store(config != nil, ordering: .relaxed)
  }

  /// On the control loop: gives every loop its copy, with the connections of that loop.
  func publish(_ update: PickerSnapshot.Update, perLoopConnections: [LoopConnections]) {
    for (index, loop) in loops.enumerated() {
      let snapshots = snapshots[index]
      var update = update
      update.perLoopConnections = perLoopConnections[index]
      loop.run { [update] in snapshots.value.snapshot.apply(update) }
    }
    shared.withLock { $0.apply(update) }
  }
}

/// The limits of a channel's calls.
struct CallSettings: Sendable {
  var logger: Logger
  var log: CallLog
  var maxReceiveMessageSize: Int
  var maxSendMessageSize: Int
  var maxRetryBufferSize: Int
  var maxRetryBufferTotal: Int
  /// 1: no policy is followed.
  var maxRetryAttempts: Int
  var compression: Compression
  var acceptedCompression: CompressionSet
  /// With the application's prefix; nil: the library's own, a constant.
  var userAgent: [UInt8]?
  /// TLS: the `:scheme` of calls is `https`, and credentials may be sent.
  var isSecure: Bool
  var credentials: [any CallCredentials]
  /// As the resolver or the application gives it, for the audience of credentials.
  var authority: String
}

/// What a channel is made of.
struct ChannelParts: Sendable {
  var target: Target
  var resolver: any Resolver
  var authority: String
  var registry: BalancerRegistry
  var balancer: String
  var security: ChannelSecurity
  var options: ChannelOptions
  var logger: Logger

  var call: CallSettings {
    CallSettings(
      logger: logger, log: CallLog(logger),
      maxReceiveMessageSize: max(0, options.maxReceiveMessageSize),
      maxSendMessageSize: min(max(0, options.maxSendMessageSize), Int(UInt32.max)),
      maxRetryBufferSize: options.maxRetryBufferSize,
      maxRetryBufferTotal: max(0, options.maxRetryBufferTotal),
      maxRetryAttempts: options.followsRetryPolicies ? max(1, options.maxRetryAttempts) : 1,
      compression: options.compression,
      acceptedCompression: options.acceptedCompression,
      userAgent: options.userAgentPrefix.map { Array("\($0) \(RequestHeaders.userAgent)".utf8) },
      isSecure: security.isSecure, credentials: options.credentials,
      authority: options.authority ?? authority)
  }

  var connection: ConnectionSettings {
    ConnectionSettings(
      http2: options.http2, socket: options.socket, lookUpTimeout: options.lookUpTimeout,
      livenessTimeout: options.livenessTimeout,
      acknowledgementTimeout: options.acknowledgementTimeout, keepalive: options.keepalive,
      maxWaitingCalls: max(0, options.maxQueuedCalls), sendTimeout: options.sendTimeout,
      filter: security.filter(logger: logger))
  }
}
