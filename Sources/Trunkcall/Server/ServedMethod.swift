// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import Synchronization
internal import TrunkSockets

/// Where a method's handlers run.
public enum HandlerDispatch: Sendable, Hashable {
  /// On the connection's event loop, until the method turns out to hog it (runs of 1 ms and more
  /// without a break, more than once); then on the global pool, for good. The default.
  case automatic
  /// Always on the connection's event loop.
  case loop
  /// Always on the global concurrent executor: for handlers that block or burn CPU.
  case concurrent
}

/// A method with what the server has learnt about it.
final class ServedMethod: Sendable {
  let name: MethodName
  /// For whoever is on no loop, see ``LoopMethod/handler``.
  let handler: MethodTable.Handler
  let makeHandler: @Sendable () -> MethodTable.Handler
  /// Position in the server's table, and in each loop's list of executors.
  let index: Int
  let dispatch: HandlerDispatch
  /// Those of the server's that apply to it.
  let interceptors: [any ServerInterceptor]
  private let isHog = Atomic<Bool>(false)

  init(
    _ name: MethodName, _ makeHandler: @escaping @Sendable () -> MethodTable.Handler, index: Int,
    dispatch: HandlerDispatch, interceptors: [any ServerInterceptor] = []
  ) {
    self.name = name
    self.makeHandler = makeHandler
    handler = makeHandler()
    self.index = index
    self.dispatch = dispatch
    self.interceptors = interceptors
  }

  /// Whether the next call's handler starts on the global pool.
  var startsOnPool: Bool {
    switch dispatch {
    case .automatic: isHog.load(ordering: .relaxed)
    case .loop: false
    case .concurrent: true
    }
  }

  var hasMoved: Bool { isHog.load(ordering: .relaxed) }

  /// Sticky; logged once.
  func moveToPool(_ nanoseconds: UInt64, _ logger: Logger) {
    guard dispatch == .automatic,
      !isHog.exchange(true, ordering: .relaxed)
    else { return }
    logger.notice(
      "a handler held its event loop; calls of this method run on the global pool from now on",
      metadata: ["method": "\(name)", "milliseconds": "\(nanoseconds / 1_000_000)"])
  }
}
