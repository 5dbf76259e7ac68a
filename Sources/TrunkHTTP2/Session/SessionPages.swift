// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CNGHTTP2

/// Lends a session the pages for its lasting parts; implemented by a driver, which has the
/// operating system's memory.
package protocol SessionPages: AnyObject, Sendable {
  /// ``SessionArena/size`` zeroed bytes that begin a page; nil: the session is in malloc's
  /// memory.
  func take() -> UnsafeMutableRawPointer?
  /// The pages are not needed any more.
  func release(_ pages: UnsafeMutableRawPointer)
}

/// The pages of one session (docs/decisions/0014-sessions-lie-in-pages-of-their-own.md). Bound to
/// its loop.
package struct SessionArena {
  /// Bytes. nghttp2 1.52 uses 25,500 of them; the rest comes from malloc.
  package static let size = 32 << 10

  private let pages: any SessionPages
  private let base: UnsafeMutableRawPointer

  init?(_ pages: (any SessionPages)?) {
    guard let pages, let base = pages.take() else { return nil }
    self.pages = pages
    self.base = base
  }

  /// Makes a session with nghttp2's allocator for these pages.
  func open(_ body: (UnsafeMutablePointer<nghttp2_mem>) -> Int32) -> Int32 {
    let number = UInt(bitPattern: base) / UInt(SessionArena.size)
    guard
      let arena = trunk_arena_open(base, SessionArena.size, UInt32(truncatingIfNeeded: number))
    else { return NGHTTP2_ERR_NOMEM.rawValue }
    // nghttp2 copies it.
    var memory = trunk_arena_mem(arena)
    let status = body(&memory)
    arena.pointee.is_open = 0
    return status
  }

  /// Called after nghttp2 has deleted the session.
  func close() { pages.release(base) }
}
