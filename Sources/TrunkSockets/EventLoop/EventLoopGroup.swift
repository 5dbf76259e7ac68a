// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Glibc
private import Synchronization

/// A fixed set of event loops that servers, channels and agent clients share.
package final class EventLoopGroup: Sendable {
  package let loops: [EventLoop]
  private let cursor = Atomic<Int>(0)

  /// Process-wide and lazy, one loop per core (`TRUNKCALL_LOOPS` overrides the number). Never
  /// stopped.
  package static let shared: EventLoopGroup = EventLoopGroup(upTo: defaultCount)

  /// All of them, or none: loops made before one failed have ended when this throws.
  package convenience init(loops count: Int, busyPoll: Duration = .zero) throws(SocketError) {
    try self.init(loops: count) { (index) throws(SocketError) in
      try EventLoop(name: "trunk-loop-\(index)", busyPoll: busyPoll)
    }
  }

  /// - Parameter make: makes a loop; tests let it fail.
  init(
    loops count: Int, _ make: (_ index: Int) throws(SocketError) -> EventLoop
  ) throws(SocketError) {
    var made: [EventLoop] = []
    for index in 0..<max(1, count) {
      do { made.append(try make(index)) } catch {
        for loop in made { loop.shutdown() }
        throw error
      }
    }
    loops = made
  }

  /// As many as the process has descriptors and threads for.
  private init(upTo count: Int) {
    var made: [EventLoop] = []
    do throws(SocketError) {
      for index in 0..<max(1, count) { made.append(try EventLoop(name: "trunk-loop-\(index)")) }
    } catch {
      // Without descriptors for a single epoll the library cannot work.
      if made.isEmpty { fatalError("cannot make an event loop: \(error)") }
    }
    loops = made
  }

  /// Loops in turn.
  package func next() -> EventLoop {
    loops[
      Int(
        bitPattern: UInt(bitPattern: cursor.wrappingAdd(1, ordering: .relaxed).oldValue)
          % UInt(loops.count))]
  }

  /// Ends and joins the threads of an own group.
  package func shutdown() {
    for loop in loops { loop.shutdown() }
  }

  private static var defaultCount: Int {
    if let text = getenv("TRUNKCALL_LOOPS").map({ String(cString: $0) }), let count = Int(text),
      count > 0
    {
      return min(count, 1_024)
    }
    return max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
  }
}
