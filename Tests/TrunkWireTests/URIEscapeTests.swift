// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkWire

@Suite struct URIEscapeTests {
  @Test("unreserved characters stand for themselves, every other byte is escaped (RFC 3986 §2)")
  func escape() {
    for byte in UInt8.min...UInt8.max {
      let isPlain =
        byte < 0x80
        && (Character(Unicode.Scalar(byte)).isLetter || Character(Unicode.Scalar(byte)).isNumber
          || "-._~".utf8.contains(byte))
      #expect(URIEscape.isUnreserved(byte) == isPlain)
    }
    #expect(URIEscape.encode("größe 1/2%") == "gr%C3%B6%C3%9Fe%201%2F2%25")
    #expect(URIEscape.encode("a:b/c") { $0 == UInt8(ascii: ":") } == "a:b%2Fc")
    #expect(URIEscape.encode("") == "")
  }
}
