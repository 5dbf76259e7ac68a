// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkWire

/// `user:password` in base64 with padding (RFC 7617).
package enum BasicAuth {
  package static func encode(_ text: String) -> String {
    let letters = Base64.encode(Array((text.contains(":") ? text : text + ":").utf8))
    return letters + String(repeating: "=", count: (4 - letters.utf8.count % 4) % 4)
  }
}
