// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery
internal import TrunkSockets

/// Whose stream it is: says what to ask for, and hears what becomes of it.
protocol ConnectionStreamOwner: AnyObject {
  /// Makes the call; its messages and its end are to be passed to the ``ConnectionStream``, on the
  /// control loop, with this number.
  func open(_ number: UInt32, _ context: ChannelContext, on reference: ConnectionReference)
    -> PinnedCall
  /// The server does not have the method.
  func wasUnimplemented()
}

/// A stream that the channel keeps open on one subchannel's connection, for load reports and health
/// checks. Control loop only; ``SubchannelStream`` decides.
final class ConnectionStream {
  private unowned let controller: ChannelController
  /// Owns this object.
  private unowned let owner: any ConnectionStreamOwner
  private var core: SubchannelStream
  private(set) var reference: ConnectionReference?
  private var call: PinnedCall?
  private var timer: LoopTimer?
  private var random = SystemRandom()

  init(_ controller: ChannelController, of owner: any ConnectionStreamOwner) {
    self.controller = controller
    self.owner = owner
    // Never a number of a stream before, whose end may still be on its way.
    core = SubchannelStream(
      backoff: controller.parts.options.backoff.value,
      after: UInt32(truncatingIfNeeded: controller.pinnedCalls.begun))
  }

  func connected(_ reference: ConnectionReference) {
    self.reference = reference
    handle(.connected)
  }

  func disconnected() {
    handle(.disconnected)
    reference = nil
    timer?.cancel()
  }

  /// Whether the running stream has that number.
  func isCurrent(_ number: UInt32) -> Bool { core.isCurrent(number) }

  func handle(_ event: SubchannelStream.Event) {
    for action in core.handle(event, now: Clock.now(), random: &random) {
      switch action {
      case .start(let number):
        guard let context = controller.context, let reference else { return }
        controller.pinnedCalls.began()
        call = owner.open(number, context, on: reference)
      case .cancel:
        call?.cancel()
        call = nil
      case .timer(let time):
        let timer =
          timer
          ?? LoopTimer(on: controller.controlLoop) { [weak self] in self?.handle(.timer) }
        timer.schedule(at: time)
        self.timer = timer
      case .unimplemented: owner.wasUnimplemented()
      }
    }
  }
}
