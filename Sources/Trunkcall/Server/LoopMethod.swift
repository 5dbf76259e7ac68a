// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import TrunkHTTP2
internal import TrunkSockets

/// A method on one loop: its task pool, and the size of its responses.
final class LoopMethod {
  let served: ServedMethod
  /// The loop's own: its reference count would go back and forth between the processors of the
  /// loops that share it, twice for each call.
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

/// What one method's responses are like on one loop: the largest of late. Loop-bound.
final class ReplySize {
  private(set) var typical = 0

  /// Large ones count at once, and fade.
  @inline(__always) func note(_ size: Int) { typical = max(size, typical - typical >> 3) }
}
