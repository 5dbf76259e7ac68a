// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import TrunkHTTP2
internal import TrunkSockets

/// A method on one loop: its handler, its task pool, and the size of its responses.
final class LoopMethod {
  let served: ServedMethod
  /// A closure of this loop alone: the reference count of a shared one would move between the
  /// processors' caches twice for each call.
  let handler: MethodTable.Handler
  let isUnary: Bool
  let taskPool: HandlerTaskPool
  let replies = ReplySize()

  init(_ method: ServedMethod, on loop: EventLoop, _ stop: StopSignal, _ logger: Logger) {
    served = method
    handler = method.makeHandler()
    isUnary = if case .unary = handler { true } else { false }
    taskPool = HandlerTaskPool(on: loop, stop, watchesHogs: method.dispatch == .automatic) {
      method.moveToPool($0, at: loop.now, logger)
    }
  }
}

/// The expected size of a method's responses on one loop: that of the largest recent ones, in bytes.
/// Loop-bound.
final class ReplySize {
  private(set) var typical = 0

  /// A response of this size was sent: a larger one raises ``typical`` to it, each smaller one lowers
  /// it by an eighth at most.
  @inline(__always) func note(_ size: Int) { typical = max(size, typical - typical >> 3) }
}
