// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
#if TLS
  internal import COpenSSL

  /// OpenSSL's callbacks, which find their engine.
  ///
  /// They run only inside an engine's own calls, on its loop.
  enum TLSCallbacks {
    /// Application data of an `SSL` has the first place of its own (`SSL_set_app_data`).
    static let engineIndex: Int32 = 0

    // Made once, before the first connection; OpenSSL only reads it.
    nonisolated(unsafe) private static let method: OpaquePointer? = makeMethod()

    static func makeBIO(_ engine: UnsafeMutableRawPointer) -> OpaquePointer? {
      guard let bio = BIO_new(method) else { return nil }
      BIO_set_data(bio, engine)
      BIO_set_init(bio, 1)
      return bio
    }

    private static func makeMethod() -> OpaquePointer? {
      guard let method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "trunkcall")
      else { return nil }
      BIO_meth_set_read(method) { bio, target, count in
        guard let bio, let target, count > 0, let engine = TLSCallbacks.engine(bio: bio) else {
          return -1
        }
        trunk_bio_clear_retry(bio)
        let taken = engine.readInput(target, Int(count))
        if taken == 0 {
          trunk_bio_set_retry_read(bio)
          return -1
        }
        return Int32(taken)
      }
      BIO_meth_set_write(method) { bio, source, count in
        guard let bio, let source, count > 0, let engine = TLSCallbacks.engine(bio: bio) else {
          return -1
        }
        trunk_bio_clear_retry(bio)
        engine.writeOutput(UnsafeRawBufferPointer(start: source, count: Int(count)))
        return count
      }
      BIO_meth_set_ctrl(method) { _, command, _, _ in command == BIO_CTRL_FLUSH ? 1 : 0 }
      return method
    }

    static func install(on context: TLSContext) {
      let this = Unmanaged.passUnretained(context).toOpaque()
      SSL_CTX_set_cert_verify_callback(
        context.pointer, { store, _ in TLSCallbacks.verify(store) }, nil)
      SSL_CTX_set_msg_callback(context.pointer) { isOurs, _, content, bytes, count, ssl, _ in
        guard isOurs == 0, content == SSL3_RT_HANDSHAKE, count > 0, let bytes, let ssl else {
          return
        }
        TLSCallbacks.engine(ssl: ssl)?.messageReceived(bytes.load(as: UInt8.self))
      }
      switch context.role {
      case .client:
        SSL_CTX_sess_set_new_cb(context.pointer) { ssl, session in
          guard let ssl, let session, let engine = TLSCallbacks.engine(ssl: ssl) else { return 0 }
          // 1 keeps the reference that comes with it.
          return engine.keep(session) ? 1 : 0
        }
      case .server:
        SSL_CTX_set_session_ticket_cb(
          context.pointer, nil,
          { ssl, session, _, _, status, argument in
            guard status == SSL_TICKET_SUCCESS || status == SSL_TICKET_SUCCESS_RENEW, let session,
              let argument,
              Unmanaged<TLSContext>.fromOpaque(argument).takeUnretainedValue()
                .isTrusted(for: session)
            else { return SSL_TICKET_RETURN_IGNORE_RENEW }
            return status == SSL_TICKET_SUCCESS
              ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW
          }, this)
        SSL_CTX_set_alpn_select_cb(
          context.pointer,
          { ssl, chosen, length, offered, count, _ in
            guard let ssl, let engine = TLSCallbacks.engine(ssl: ssl) else {
              return SSL_TLSEXT_ERR_ALERT_FATAL
            }
            let offered = UnsafeBufferPointer(start: offered, count: Int(count))
            guard let at = TLSCallbacks.find(engine.context.application.wire, in: offered),
              let base = offered.baseAddress
            else { return SSL_TLSEXT_ERR_ALERT_FATAL }
            // Points into the client's message, which OpenSSL keeps that long.
            chosen?.pointee = base + at + 1
            length?.pointee = base[at]
            return SSL_TLSEXT_ERR_OK
          }, nil)
        trunk_ssl_ctx_set_servername_callback(
          context.pointer,
          { ssl, _, argument in
            guard let ssl, let argument,
              let name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)
            else { return SSL_TLSEXT_ERR_OK }
            let context = Unmanaged<TLSContext>.fromOpaque(argument).takeUnretainedValue()
            if let other = context.context(for: String(cString: name)) {
              SSL_set_SSL_CTX(ssl, other.pointer)
            }
            return SSL_TLSEXT_ERR_OK
          }, this)
      }
    }

    /// The chain, the name, then the application's check.
    private static func verify(_ store: OpaquePointer?) -> Int32 {
      guard let store,
        let ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()),
        let engine = engine(ssl: OpaquePointer(ssl))
      else { return 0 }
      if engine.context.checksChain {
        let status = X509_verify_cert(store)
        guard status == 1 else { return status }
      }
      guard let verify = engine.context.verify else { return 1 }
      // A chain that is not verified was not built.
      guard let certificate = trunk_chain_at(store, 0) ?? X509_STORE_CTX_get0_cert(store) else {
        return 0
      }
      do {
        try verify(TLSPeer(certificate))
        return 1
      } catch {
        engine.refusal = "\(error)"
        X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION)
        return 0
      }
    }

    /// Where `entry` (length and name) stands in a list of such.
    private static func find(_ entry: [UInt8], in list: UnsafeBufferPointer<UInt8>) -> Int? {
      var index = 0
      while index < list.count {
        let end = index + 1 + Int(list[index])
        guard end <= list.count else { return nil }
        if list[index..<end].elementsEqual(entry) { return index }
        index = end
      }
      return nil
    }

    private static func engine(bio: OpaquePointer) -> TLSEngine? {
      BIO_get_data(bio).map { Unmanaged<TLSEngine>.fromOpaque($0).takeUnretainedValue() }
    }
    private static func engine(ssl: OpaquePointer) -> TLSEngine? {
      SSL_get_ex_data(ssl, engineIndex).map {
        Unmanaged<TLSEngine>.fromOpaque($0).takeUnretainedValue()
      }
    }
  }
#endif
