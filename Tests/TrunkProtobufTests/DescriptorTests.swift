// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import EchoStubs
import FoundationEssentials
import Glibc
import GreeterStubs
import Testing
import Trunkcall

import enum OddStubs.Client2
import enum OddStubs.TypeService

@testable import protoc_gen_trunkcall

@Suite("Descriptors in stubs")
struct DescriptorTests {
  @Test(
    "what a stub embeds is, byte for byte, what protoc writes for the file and its imports",
    arguments: protos)
  func sameAsProtoc(_ proto: String) throws {
    let stub = protoc("", "-I '\(wellKnown)' \(proto)")
    try #require(stub.status == 0, "\(stub.output)")
    let literals = stub.output.components(separatedBy: "  \"\"\"")
    var embedded: [[UInt8]] = []
    for (index, literal) in literals.enumerated() where index % 2 == 1 {
      let lines = literal.split(separator: "\n").map { $0.dropFirst(2) }
      #expect(lines.dropLast().allSatisfy { $0.hasSuffix("\\") })
      embedded.append(unescaped(lines.map { $0.hasSuffix("\\") ? $0.dropLast() : $0 }.joined()))
    }
    #expect(embedded.isEmpty == !stub.output.contains("_descriptors"))
    guard !embedded.isEmpty else { return }  // it has no services
    #expect(try set(of: embedded) == descriptorSet(proto))
  }

  @Test(
    "the program has what the stub has",
    arguments: [
      ("helloworld.proto", Helloworld_Greeter.descriptors),
      ("trunkcall/echo.proto", Trunkcall_Test_Echo.descriptors),
      ("trunkcall/odd.proto", TypeService.descriptors),
      ("trunkcall/odd.proto", Client2.descriptors),
    ])
  func compiled(_ proto: String, _ descriptors: ProtoDescriptors) throws {
    #expect(try set(of: descriptors.files) == descriptorSet(proto))
  }

  @Test("Descriptors=false leaves them out")
  func left() {
    let output = protoc("Descriptors=false", "helloworld.proto").output
    #expect(output.contains("struct Client") && output.contains("register(in"))
    #expect(!output.contains("escriptors") && !output.contains("describe"))
  }

  @Test("Descriptors=only writes names and descriptors, which need no messages")
  func only() {
    let output = protoc("Descriptors=only,Visibility=Public", "helloworld.proto").output
    #expect(output.contains("public static let name"))
    #expect(output.contains("public static var descriptors"))
    #expect(!output.contains("Methods") && !output.contains("Service {"))
    #expect(!output.contains("TrunkProtobuf"))
  }

  @Test("descriptors have the visibility of the stub, and the constant of the file has none")
  func visibility() {
    let plain = protoc("", "helloworld.proto").output
    #expect(plain.contains("\n  static var descriptors: "))
    #expect(plain.contains("\nprivate nonisolated let _descriptors = "))
    let package = protoc("Visibility=Package", "helloworld.proto").output
    #expect(package.contains("\n  package static var descriptors: "))
  }

  @Test("comments are not in the program: source info is left out")
  func sourceInfo() {
    let output = protoc("", text: "// WordOfTheComment\nmessage M {}\nservice S {}").output
    #expect(output.components(separatedBy: "WordOfTheComment").count == 1)
  }

  @Test("lines end at 100 columns; all bytes come back")
  func lines() {
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<100 {
      let bytes = (0..<Int.random(in: 0..<1_000)).map { _ in
        UInt8.random(in: 0 ... .max, using: &generator)
      }
      let lines = DescriptorWriter.lines(bytes)
      #expect(lines.allSatisfy { $0.utf8.count <= 97 && !$0.isEmpty })
      #expect(unescaped(lines.joined()) == bytes)
    }
    #expect(DescriptorWriter.lines([]) == [])
  }

  /// As Swift and `ProtoDescriptors` read them.
  private func unescaped(_ text: String) -> [UInt8] {
    var bytes: [UInt8] = []
    var rest = Substring(text)
    while let first = rest.popFirst() {
      guard first == "\\" else {
        bytes += Array(String(first).utf8)
        continue
      }
      switch rest.removeFirst() {
      case "n": bytes.append(0x0A)
      case "r": bytes.append(0x0D)
      case "t": bytes.append(0x09)
      case "\"": bytes.append(0x22)
      case "\\": bytes.append(0x5C)
      default:
        let digits = rest.dropFirst().prefix { $0 != "}" }
        rest = rest.dropFirst(digits.count + 2)
        bytes.append(UInt8(truncatingIfNeeded: UInt32(digits, radix: 16) ?? 0))
      }
    }
    return bytes
  }

  /// A FileDescriptorSet: field 1 for each file.
  private func set(of files: [[UInt8]]) -> [UInt8] {
    files.flatMap { file -> [UInt8] in
      var length = file.count
      var prefix: [UInt8] = [0x0A]
      while length > 0x7F {
        prefix.append(UInt8(length & 0x7F | 0x80))
        length >>= 7
      }
      return prefix + [UInt8(length)] + file
    }
  }

  private func descriptorSet(_ proto: String) throws -> [UInt8] {
    let file = "/tmp/trunkcall-descriptors-\(getpid())-\(UInt64.random(in: 0 ... .max))"
    defer { unlink(file) }
    let run = shell(
      """
      protoc -I '\(root)/Protos' -I '\(wellKnown)' --include_imports \
      --descriptor_set_out='\(file)' \(proto)
      """)
    try #require(run.status == 0, "\(run.output)")
    return Array(try Data(contentsOf: URL(filePath: file)))
  }

  /// As Scripts/generate has it.
  private var wellKnown: String {
    "\(products)/../../checkouts/swift-protobuf/Protos/Sources/SwiftProtobuf"
  }
}

/// All of Protos/.
private let protos = shell("cd '\(root)/Protos' && find . -name '*.proto' | sort").output
  .split(separator: "\n").map { String($0.dropFirst(2)) }
