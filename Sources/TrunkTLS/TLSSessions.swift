// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
#if TLS
  internal import COpenSSL
  internal import TrunkSockets

  /// Sessions to resume, one for each server (RFC 8446 §2.2): the newest ticket.
  final class TLSSessions: Sendable {
    /// `@unchecked Sendable`: the lock of the table is the only way to it.
    private final class Session: @unchecked Sendable {
      let pointer: OpaquePointer
      init(adopting pointer: OpaquePointer) { self.pointer = pointer }
      deinit { SSL_SESSION_free(pointer) }

      /// A server's certificate is not looked at again when its session is resumed: so no longer than
      /// that is good.
      var isStillVouchedFor: Bool {
        guard let certificate = SSL_SESSION_get0_peer(pointer) else { return true }
        return X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0
      }
    }
    private let table = Locked<[String: Session]>([:])

    /// Servers that are remembered; beyond it all are forgotten.
    private static let capacity = 1_024

    /// - Parameter session: this takes over the reference.
    func keep(_ session: OpaquePointer, for server: String) {
      let session = Session(adopting: session)
      table.withLock { table in
        if table.count >= TLSSessions.capacity, table[server] == nil { table = [:] }
        table[server] = session
      }
    }

    func resume(_ server: String, on ssl: OpaquePointer) {
      table.withLock { table in
        guard let session = table[server] else { return }
        if SSL_SESSION_is_resumable(session.pointer) == 1, session.isStillVouchedFor {
          _ = SSL_set_session(ssl, session.pointer)
        } else {
          table[server] = nil
        }
      }
    }

    func forget(_ server: String) { table.withLock { $0[server] = nil } }
  }
#endif
