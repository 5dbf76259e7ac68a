// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
#if TLS
  internal import COpenSSL

  /// Decodes PEM text into OpenSSL's objects. The caller frees what it returns.
  enum PEMReader {
    /// A larger file is no certificate.
    private static let maximumSize = 4 << 20

    /// - Parameter what: as in `the certificate file a.pem`.
    static func bytes(_ pem: PEM, _ what: String) throws(TLSError) -> [UInt8] {
      switch pem {
      case .bytes(let bytes): return bytes
      case .file(let path):
        OpenSSLErrors.clear()
        guard let bio = BIO_new_file(path, "r") else {
          throw .openSSL("the \(what) file \(path) cannot be read")
        }
        defer { BIO_free(bio) }
        return readAll(bio)
      }
    }

    static func readAll(_ bio: OpaquePointer) -> [UInt8] {
      var all: [UInt8] = []
      var chunk = [UInt8](repeating: 0, count: 4_096)
      while all.count < maximumSize {
        let count = BIO_read(bio, &chunk, Int32(chunk.count))
        guard count > 0 else { break }
        all += chunk.prefix(Int(count))
      }
      return all
    }

    /// Every certificate in the text, at least one.
    static func certificates(_ pem: PEM) throws(TLSError) -> [OpaquePointer] {
      let text = try bytes(pem, "certificate")
      // OpenSSL makes no BIO of an empty buffer.
      guard !text.isEmpty else { throw TLSError("\(name(pem)) is empty") }
      var found: [OpaquePointer] = []
      OpenSSLErrors.clear()
      try withMemory(text) { bio throws(TLSError) in
        while let certificate = PEM_read_bio_X509(bio, nil, noPassphrase, nil) {
          found.append(certificate)
        }
      }
      let last = trunk_err_reason(ERR_peek_last_error())
      guard !found.isEmpty, last == PEM_R_NO_START_LINE || last == 0 else {
        for certificate in found { X509_free(certificate) }
        throw found.isEmpty && last == PEM_R_NO_START_LINE
          ? TLSError("\(name(pem)) holds no certificate (-----BEGIN CERTIFICATE-----)")
          : .openSSL("\(name(pem)) holds a certificate that cannot be read")
      }
      OpenSSLErrors.clear()
      return found
    }

    static func privateKey(_ identity: TLSIdentity) throws(TLSError) -> OpaquePointer {
      let pem = identity.privateKey
      let text = try bytes(pem, "private key")
      guard !text.isEmpty else { throw TLSError("\(name(pem)) is empty") }
      let asking = Passphrase(identity.passphrase)
      OpenSSLErrors.clear()
      var key: OpaquePointer?
      try withMemory(text) { bio throws(TLSError) in
        key = withExtendedLifetime(asking) {
          PEM_read_bio_PrivateKey(
            bio, nil, answerPassphrase, Unmanaged.passUnretained(asking).toOpaque())
        }
      }
      if let key { return key }
      if asking.wasAsked, asking.answer == nil {
        OpenSSLErrors.clear()
        throw TLSError("the private key in \(name(pem)) is encrypted, and no passphrase was given")
      }
      if asking.wasAsked {
        throw .openSSL("the private key in \(name(pem)) does not open with the given passphrase")
      }
      throw .openSSL("\(name(pem)) holds no private key that can be read")
    }

    static func name(_ pem: PEM) -> String {
      switch pem {
      case .file(let path): path
      case .bytes: "the PEM text"
      }
    }

    private static func withMemory(
      _ text: [UInt8], _ body: (OpaquePointer) throws(TLSError) -> Void
    ) throws(TLSError) {
      // OpenSSL copies nothing: the text must outlive the BIO.
      let result = text.withUnsafeBytes { bytes -> Result<Void, TLSError> in
        guard let bio = BIO_new_mem_buf(bytes.baseAddress, Int32(clamping: bytes.count)) else {
          return .failure(.openSSL("out of memory"))
        }
        defer { BIO_free(bio) }
        do throws(TLSError) { return .success(try body(bio)) } catch { return .failure(error) }
      }
      try result.get()
    }
  }

  private final class Passphrase {
    private let ask: (@Sendable () -> String?)?
    private(set) var wasAsked = false
    private(set) var answer: String?

    init(_ ask: (@Sendable () -> String?)?) { self.ask = ask }

    func get() -> String? {
      wasAsked = true
      answer = ask?()
      return answer
    }
  }

  /// Without a callback OpenSSL would prompt on the terminal.
  private func answerPassphrase(
    _ buffer: UnsafeMutablePointer<CChar>?, _ size: Int32, _: Int32,
    _ user: UnsafeMutableRawPointer?
  ) -> Int32 {
    guard let buffer, let user else { return -1 }
    let asking = Unmanaged<Passphrase>.fromOpaque(user).takeUnretainedValue()
    guard let text = asking.get() else { return -1 }
    let bytes = Array(text.utf8.prefix(max(0, Int(size))))
    for (index, byte) in bytes.enumerated() { buffer[index] = CChar(bitPattern: byte) }
    return Int32(bytes.count)
  }
  private func noPassphrase(
    _: UnsafeMutablePointer<CChar>?, _: Int32, _: Int32, _: UnsafeMutableRawPointer?
  ) -> Int32 { -1 }
#endif
