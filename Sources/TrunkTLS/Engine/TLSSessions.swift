// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
#if TLS
  internal import COpenSSL
  internal import TrunkSockets

  /// Sessions to resume, one for each server (RFC 8446 §2.2): the newest ticket.
  final class TLSSessions: Sendable {
    /// `@unchecked Sendable`: accessed under the table's lock only.
    private final class Session: @unchecked Sendable {
      let pointer: OpaquePointer
      init(adopting pointer: OpaquePointer) { self.pointer = pointer }
      deinit { SSL_SESSION_free(pointer) }
    }
    private let table = Locked<[String: Session]>([:])

    /// Servers with a session; beyond it all sessions are dropped.
    private static let capacity = 1_024

    /// - Parameter session: this takes over the reference.
    func keep(_ session: OpaquePointer, for server: String) {
      let session = Session(adopting: session)
      table.withLock { table in
        if table.count >= TLSSessions.capacity, table[server] == nil { table = [:] }
        table[server] = session
      }
    }

    /// - Parameter isGood: called with the session, outside of the lock, since it calls the
    ///   application.
    func resume(_ server: String, on ssl: OpaquePointer, if isGood: (OpaquePointer) -> Bool) {
      guard let session = table.withLock({ $0[server] }) else { return }
      if SSL_SESSION_is_resumable(session.pointer) == 1, isGood(session.pointer) {
        _ = SSL_set_session(ssl, session.pointer)
      } else {
        table.withLock { if $0[server] === session { $0[server] = nil } }
      }
    }

    func forget(_ server: String) { table.withLock { $0[server] = nil } }
  }
#endif
