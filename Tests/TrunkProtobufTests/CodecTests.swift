// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

import EchoStubs
import SwiftProtobuf
import Testing
import TrunkProtobuf
import Trunkcall

@Suite("Protobuf codec")
struct CodecTests {
  private let codec = Codec<Trunkcall_Test_EchoRequest>.protobuf

  @Test("five bytes stay free for the prefix, the message follows", arguments: [0, 1, 300, 70_000])
  func roundTrip(_ size: Int) throws {
    let message = Trunkcall_Test_EchoRequest.with {
      $0.text = "héllo"
      $0.payload.append(contentsOf: [UInt8](repeating: 0xa5, count: size))
    }
    let frame = try codec.encode(message)
    let plain: [UInt8] = try message.serializedBytes()
    #expect(Array(frame[..<5]) == [0, 0, 0, 0, 0])
    #expect(Array(frame[5...]) == plain)
    #expect(try codec.decode(plain) == message)
  }

  @Test("an empty message is the prefix alone")
  func empty() throws {
    #expect(try codec.encode(Trunkcall_Test_EchoRequest()) == [0, 0, 0, 0, 0])
    #expect(try codec.decode([]) == Trunkcall_Test_EchoRequest())
  }

  @Test(
    "bytes that are no such message throw",
    arguments: [[0x0a], [0x0a, 0x05, 0x41], [0xff], [0x0a, 0x01, 0xff], [0x0f]] as [[UInt8]])
  func garbage(_ bytes: [UInt8]) {
    #expect(throws: (any Error).self) { try codec.decode(bytes) }
  }
}
