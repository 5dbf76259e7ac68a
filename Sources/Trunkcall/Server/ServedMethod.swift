// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging
internal import Synchronization
internal import TrunkSockets

/// Where a method's handlers run.
public enum HandlerDispatch: Sendable, Hashable {
  /// On the connection's event loop. A method that hogs it (more than one run without suspension in
  /// which the thread computed or slept for 1 ms or more) runs on the global pool for a minute,
  /// after that on the loop again; each further time for twice as long, up to 16 minutes. The
  /// default.
  case automatic
  /// Always on the connection's event loop.
  case loop
  /// Always on the global concurrent executor: for handlers that block or compute for long.
  case concurrent
}

/// A method of a server and its present dispatch.
final class ServedMethod: Sendable {
  let name: MethodName
  /// For the global pool and calls within the process; loops have ``LoopMethod/handler``.
  let handler: MethodTable.Handler
  let makeHandler: @Sendable () -> MethodTable.Handler
  /// Position in ``MethodIndex/methods``, and in each loop's list of ``LoopMethod``s; -1 for a method
  /// that is not served.
  let index: Int
  let dispatch: HandlerDispatch
  /// The server's interceptors that apply to it.
  let interceptors: [any ServerInterceptor]
  /// `CLOCK_MONOTONIC` nanoseconds until which handlers run on the global pool; 0: on their loops.
  private let movedUntil = Atomic<UInt64>(0)
  private let moves = Atomic<Int>(0)
  private let silenceIsLogged = Atomic<Bool>(false)

  /// How long a method stays on the global pool, the first time and at most.
  static let initialMoveDuration: UInt64 = 60_000_000_000
  static let maximumMoveDuration: UInt64 = 16 * initialMoveDuration

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

  /// A call got neither response nor error, since `interceptor` returned without calling `next`:
  /// logged once for each method at warning level.
  func wasLeft(by interceptor: any ServerInterceptor, _ logger: Logger) {
    // A method that is not served is released with its call: its name is the client's.
    guard index >= 0, !silenceIsLogged.exchange(true, ordering: .relaxed) else { return }
    let named = (interceptor as? any ScopedInterceptor)?.innermost ?? interceptor
    logger.warning(
      "an interceptor returned without calling next, and neither sent a response nor threw an error",
      metadata: ["method": "\(name)", "interceptor": "\(type(of: named as Any))"])
  }

  /// Whether the next call's handler starts on the global pool.
  /// - Parameter now: evaluated for a method that was moved only.
  @inline(__always)
  func startsOnPool(at now: @autoclosure () -> UInt64) -> Bool {
    switch dispatch {
    case .automatic: movedUntil.load(ordering: .relaxed) != 0 && isMoved(at: now())
    case .loop: false
    case .concurrent: true
    }
  }

  /// Whether its dispatch is automatic, and its handlers run on the global pool at `now`.
  func hasMoved(at now: UInt64) -> Bool { dispatch == .automatic && isMoved(at: now) }

  /// Whether it is still on the global pool at `now`; moves it back if its time there is over.
  private func isMoved(at now: UInt64) -> Bool {
    let until = movedUntil.load(ordering: .relaxed)
    if until > now { return true }
    if until != 0 {
      _ = movedUntil.compareExchange(expected: until, desired: 0, ordering: .relaxed)
    }
    return false
  }

  /// Moves the method to the global pool for a while. Logged for each method once at notice level,
  /// each further time at debug level.
  /// - Parameter nanoseconds: the length of the run that led to the move.
  func moveToPool(_ nanoseconds: UInt64, at now: UInt64, _ logger: Logger) {
    guard dispatch == .automatic, !hasMoved(at: now) else { return }
    let before = moves.load(ordering: .relaxed)
    let duration = min(
      ServedMethod.maximumMoveDuration, ServedMethod.initialMoveDuration << UInt64(min(before, 4)))
    // Several loops may move the method at once.
    let move = movedUntil.compareExchange(expected: 0, desired: now + duration, ordering: .relaxed)
    guard move.exchanged else { return }
    moves.wrappingAdd(1, ordering: .relaxed)
    logger.log(
      level: before == 0 ? .notice : .debug,
      """
      a handler held its event loop; the method's calls run on the global pool for a while \
      (ServerOptions.dispatchByMethod decides for good)
      """,
      metadata: [
        "method": "\(name)", "milliseconds": "\(nanoseconds / 1_000_000)",
        "minutes": "\(duration / 60_000_000_000)",
        "option": "dispatchByMethod[\"\(name)\"] = .concurrent, or .loop to keep it",
      ])
  }
}
