// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CTrunkLinux
internal import Glibc

/// The events that a descriptor is ready for, or registered for.
struct Readiness: OptionSet {
  let rawValue: UInt8
  static let read = Readiness(rawValue: 1)
  static let write = Readiness(rawValue: 2)
  /// Error or hang-up; always reported.
  static let failed = Readiness(rawValue: 4)
}

/// Owns a descriptor and gets its readiness events.
protocol ReadinessHandler: AnyObject {
  func ready(_ readiness: Readiness)
}

/// `epoll`, level-triggered. A registration is a slot with a generation, so that an event of the
/// same batch for a descriptor closed in it is dropped.
struct Poller {
  struct Token: Equatable {
    fileprivate let slot: UInt32
    fileprivate let generation: UInt32
  }
  private struct Slot {
    var handler: (any ReadinessHandler)?
    var generation: UInt32 = 0
  }

  /// -1 when the loop has ended.
  private var descriptor: Int32
  private var slots: [Slot] = []
  private var free: [UInt32] = []
  private let events: UnsafeMutablePointer<epoll_event>
  private static let capacity = 256

  init() throws(SocketError) {
    descriptor = epoll_create1(Int32(EPOLL_CLOEXEC))
    if descriptor < 0 { throw SocketError("epoll_create1") }
    events = .allocate(capacity: Poller.capacity)
  }

  mutating func close() {
    guard descriptor >= 0 else { return }
    _ = Glibc.close(descriptor)
    // Its number may be reused by another descriptor.
    descriptor = -1
    events.deallocate()
    slots = []
    free = []
  }

  mutating func add(
    _ fd: Int32, _ interest: Readiness, _ handler: any ReadinessHandler
  ) throws(SocketError) -> Token {
    guard descriptor >= 0 else { throw SocketError("epoll_ctl", errno: EBADF) }
    let index: UInt32
    if let reused = free.popLast() {
      index = reused
    } else {
      index = UInt32(slots.count)
      slots.append(Slot())
    }
    slots[Int(index)].handler = handler
    let token = Token(slot: index, generation: slots[Int(index)].generation)
    if control(EPOLL_CTL_ADD, fd, interest, token) != 0 {
      let error = SocketError("epoll_ctl")
      release(token)
      throw error
    }
    return token
  }

  func change(_ fd: Int32, _ interest: Readiness, _ token: Token) {
    _ = control(EPOLL_CTL_MOD, fd, interest, token)
  }

  /// Call before the descriptor is closed.
  mutating func remove(_ fd: Int32, _ token: Token) {
    var event = epoll_event()
    epoll_ctl(descriptor, EPOLL_CTL_DEL, fd, &event)
    release(token)
  }

  /// Waits for events; -1 waits without limit. Returns the number of events to dispatch.
  func wait(milliseconds: Int32) -> Int {
    Int(max(0, epoll_wait(descriptor, events, Int32(Poller.capacity), milliseconds)))
  }

  func handler(_ index: Int) -> (handler: any ReadinessHandler, readiness: Readiness)? {
    let event = events[index]
    let slot = Int(event.data.u64 & 0xffff_ffff)
    guard slot < slots.count, let handler = slots[slot].handler,
      slots[slot].generation == UInt32(truncatingIfNeeded: event.data.u64 >> 32)
    else { return nil }
    var readiness: Readiness = []
    if event.events & EPOLLIN.rawValue != 0 { readiness.insert(.read) }
    if event.events & EPOLLOUT.rawValue != 0 { readiness.insert(.write) }
    if event.events & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0 { readiness.insert(.failed) }
    return (handler, readiness)
  }

  private mutating func release(_ token: Token) {
    // A connection may be closed after its loop has ended, and its registrations with it.
    guard token.slot < slots.count, slots[Int(token.slot)].generation == token.generation else {
      return
    }
    slots[Int(token.slot)].handler = nil
    slots[Int(token.slot)].generation &+= 1
    free.append(token.slot)
  }

  private func control(_ operation: Int32, _ fd: Int32, _ interest: Readiness, _ token: Token)
    -> Int32
  {
    var event = epoll_event()
    if interest.contains(.read) { event.events |= EPOLLIN.rawValue }
    if interest.contains(.write) { event.events |= EPOLLOUT.rawValue }
    event.data.u64 = UInt64(token.generation) << 32 | UInt64(token.slot)
    return epoll_ctl(descriptor, operation, fd, &event)
  }
}
