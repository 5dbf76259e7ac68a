// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The two names in a `:path` of the form `/package.Service/Method` (PROTOCOL-HTTP2.md, Path).
/// Both are case-sensitive. The buffers are valid as long as the path's is.
package struct MethodPath {
  package let service: UnsafeRawBufferPointer
  package let method: UnsafeRawBufferPointer

  /// Nil unless the path starts with `/` and has exactly two parts, neither of them empty.
  package init?(_ path: UnsafeRawBufferPointer) {
    let slash = UInt8(ascii: "/")
    guard path.count >= 4, path[0] == slash else { return nil }
    let names = UnsafeRawBufferPointer(rebasing: path[1...])
    guard let middle = names.firstIndex(of: slash) else { return nil }
    let service = UnsafeRawBufferPointer(rebasing: names[..<middle])
    let method = UnsafeRawBufferPointer(rebasing: names[(middle + 1)...])
    guard service.count > 0, method.count > 0, !method.contains(slash) else { return nil }
    self.service = service
    self.method = method
  }
}
