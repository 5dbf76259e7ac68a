// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import TrunkDiscovery
internal import TrunkSockets
internal import TrunkWire

/// The parts of a channel that can be reached from every thread: its loops, their pickers, and its
/// control side, which is bound to the home loop.
///
/// Calls and connections hold it; it is released when the channel is closed and they have ended.
final class ChannelHub: Sendable {
  let target: Target
  let settings: CallSettings
  let loops: [EventLoop]
  let homeIndex: Int
  let control: LoopBound<ChannelControl>
  let picks: [LoopBound<LoopPicks>]
  private let shared: Locked<PickTable>
  /// As last published, for readers on any thread.
  let watch = StateWatch()

  /// Only if the channel has loops of its own.
  private let ownGroup: EventLoopGroup?

  init(_ parts: ChannelParts, group: EventLoopGroup, ownGroup: EventLoopGroup?) {
    self.ownGroup = ownGroup
    target = parts.target
    settings = parts.call
    loops = group.loops
    let home = group.next()
    homeIndex = loops.firstIndex { $0 === home } ?? 0
    picks = loops.map { LoopBound(LoopPicks(), on: $0) }
    shared = Locked(PickTable(seed: UInt64.random(in: 1...UInt64.max)))
    let control = ChannelControl(parts, home: home, homeIndex: homeIndex, loops: loops.count)
    self.control = LoopBound(control, on: home)
    control.hub = self
  }

  /// Own loops end when nothing can reach them any more; never on one of themselves, as a loop
  /// cannot join itself.
  deinit {
    if let ownGroup { Task.detached { ownGroup.shutdown() } }
  }

  var home: EventLoop { loops[homeIndex] }

  /// Runs `body` on the home loop, at once if the caller is on it.
  func onHome(_ body: @escaping @Sendable (ChannelControl) -> Void) {
    home.run { [self] in body(control.value) }
  }

  /// As ``onHome(_:)``, but never inside the caller: for callers in the middle of a state change.
  func onHomeLater(_ body: @escaping @Sendable (ChannelControl) -> Void) {
    home.later { [self] in body(control.value) }
  }

  /// The loop that the caller runs on, if it is one of the channel's.
  var currentIndex: Int? {
    for index in loops.indices where loops[index].isCurrent { return index }
    return nil
  }

  /// Starts a new call, from whatever thread it was made on.
  func dispatch(_ call: ClientCall) {
    let answer: PickTable.Answer
    let here = currentIndex
    if let here {
      answer = picks[here].value.table.pick(call, now: loops[here].now)
    } else {
      answer = shared.withLock { $0.pick(call, now: Clock.now()) }
    }
    if case .go(let route, let token) = answer {
      if let here, here != route.loopIndex { askForSibling(of: route.subchannel, from: here) }
      call.move(to: route, token: token, from: here)
    } else {
      // The home loop has the newest picker and the diagnostics: it decides about waiting and
      // failing.
      toHome(call)
    }
  }

  /// A call leaves the loop that it began on: asks for a connection there for the next ones.
  private func askForSibling(of id: SubchannelID, from here: Int) {
    guard picks[here].value.table.asksForSibling(of: id, now: loops[here].now) else { return }
    onHomeLater { $0.siblingWanted(id, on: here) }
  }

  /// Lets the home loop pick: with the newest picker, after every event that was posted before.
  func toHome(_ call: ClientCall) {
    call.place(at: homeIndex)
    home.later { [self] in control.value.admit(call) }
  }

  /// On the home loop: gives every loop its copy, with the connections of that loop.
  func publish(_ update: PickTable.Update, siblings: [LoopSiblings]) {
    for (index, loop) in loops.enumerated() {
      let picks = picks[index]
      var update = update
      update.siblings = siblings[index]
      loop.run { [update] in picks.value.table.apply(update) }
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
      compression: options.compression,
      acceptedCompression: options.acceptedCompression,
      userAgent: options.userAgentPrefix.map { Array("\($0) \(RequestHeaders.userAgent)".utf8) },
      isSecure: security.isSecure, credentials: options.credentials,
      authority: options.authority ?? authority)
  }

  var connection: ConnectionSettings {
    ConnectionSettings(
      http2: options.http2, socket: options.socket, lookUpTimeout: options.lookUpTimeout,
      livenessTimeout: options.livenessTimeout, keepalive: options.keepalive,
      maxWaitingCalls: max(0, options.maxQueuedCalls), sendTimeout: options.sendTimeout,
      filter: security.filter(logger: logger))
  }
}
