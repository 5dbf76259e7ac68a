// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The protocol of a peer that does not send plaintext HTTP/2, by its first bytes: in most cases
/// one side uses TLS and the other does not.
enum ForeignProtocol: Sendable, Hashable {
  /// A handshake or alert record (RFC 8446 §5.1; its version is 3.0 to 3.4).
  case tls
  /// A request line or a status line.
  case http1

  init?(_ bytes: UnsafeRawBufferPointer) {
    if bytes.count >= 3, bytes[0] == 0x16 || bytes[0] == 0x15, bytes[1] == 3, bytes[2] <= 4 {
      self = .tls
    } else if bytes.starts(with: "HTTP/1.") {
      self = .http1
    } else if let line = bytes.prefix(8_192).firstIndex(of: UInt8(ascii: "\r")),
      UnsafeRawBufferPointer(rebasing: bytes[..<line]).contains(" HTTP/1.")
    {
      self = .http1
    } else {
      return nil
    }
  }

  /// The error for a client of a plaintext server.
  var ofClient: String {
    switch self {
    case .tls:
      "the client speaks TLS, and this server is plaintext: give the server a security, or the client "
        + ".plaintext"
    case .http1: "the client speaks HTTP/1.1, and gRPC is HTTP/2"
    }
  }

  /// The error for a server of a plaintext client.
  var ofServer: String {
    switch self {
    case .tls: "the server speaks TLS, and this channel is plaintext: \(ForeignProtocol.hint)"
    case .http1:
      "the server speaks HTTP/1.1, not HTTP/2; perhaps it expects TLS: \(ForeignProtocol.hint)"
    }
  }

  /// The error for a server that closes before its SETTINGS, as many do that expect TLS.
  static let closed =
    "the server closed the connection before its HTTP/2 SETTINGS; perhaps it expects TLS: \(hint)"
  private static let hint = "security: .tls()"
}

extension UnsafeRawBufferPointer {
  fileprivate func contains(_ text: StaticString) -> Bool {
    let length = text.utf8CodeUnitCount
    guard count >= length else { return false }
    return (0...count - length).contains { start in
      UnsafeRawBufferPointer(rebasing: self[start...]).starts(with: text)
    }
  }
}
