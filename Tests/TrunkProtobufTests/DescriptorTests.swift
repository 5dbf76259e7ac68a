// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import EchoStubs
import FoundationEssentials
import Glibc
import GreeterStubs
import SwiftProtobuf
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
    guard stub.output.contains("_descriptors") else { return }  // it has no services
    #expect(try set(of: embedded(in: stub.output)) == descriptorSet(proto))
  }

  @Test("custom options, extensions, groups, and defaults of any bytes come as protoc writes them")
  func options() throws {
    let folder = String(shell("mktemp -d").output.prefix { $0 != "\n" })
    defer { _ = shell("rm -rf '\(folder)'") }
    let text = #"""
      syntax = "proto2";
      package custom;
      import "google/protobuf/descriptor.proto";
      extend google.protobuf.MethodOptions {
        optional Rule rule = 50001;
        repeated int32 codes = 50003 [packed = true];
      }
      extend google.protobuf.FieldOptions { optional string label = 50002; }
      message Rule { optional string get = 1; optional Rule other = 2; }
      message M {
        optional bytes raw = 1 [default = "\000\001\"\\\377\200 \r\n\t", (label) = "Größe"];
        optional string text = 2 [default = "é\u0100𝄞", deprecated = true, (label) = ""];
        optional group Old = 3 { optional int64 a = 1 [jstype = JS_STRING]; }
        extensions 100 to 199, 1000 to max;
        extend M { optional M inner = 100; }
        reserved 50 to 60;
        reserved "gone";
      }
      extend M { repeated sint64 outer = 1000 [packed = true]; }
      service S {
        rpc Do(M) returns (M) {
          option idempotency_level = NO_SIDE_EFFECTS;
          option (rule) = { get: "/v1/{name}" other { get: "x" } };
          option (codes) = 0;
          option (codes) = -1;
        }
      }
      """#
    try Data(text.utf8).write(to: URL(filePath: folder + "/custom.proto"))
    let stub = protoc("", "-I '\(wellKnown)' -I '\(folder)' custom.proto")
    try #require(stub.status == 0, "\(stub.output)")
    let files = try embedded(in: stub.output)
    let expected = try descriptorSet("custom.proto", in: folder)
    // A protoc that is older than descriptor.proto writes some of its fields in another order.
    #expect(try fileProtos(set(of: files)) == fileProtos(expected))
    let own = try #require(files.last)
    #expect(own == expected.suffix(own.count))
  }

  private func fileProtos(_ set: [UInt8]) throws -> [Google_Protobuf_FileDescriptorProto] {
    try Google_Protobuf_FileDescriptorSet(serializedBytes: set).file
  }

  /// The bytes of each literal of a stub.
  private func embedded(in stub: String) throws -> [[UInt8]] {
    let literals = stub.components(separatedBy: "  \"\"\"")
    return literals.indices.filter { $0 % 2 == 1 }.map { index in
      let lines = literals[index].split(separator: "\n").map { $0.dropFirst(2) }
      #expect(lines.dropLast().allSatisfy { $0.hasSuffix("\\") })
      // The last line of a literal may end with an escaped backslash.
      return unescaped(lines.dropLast().map { $0.dropLast() }.joined() + (lines.last ?? ""))
    }
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

  @Test("lines end at 100 columns; every byte comes back, whatever comes before it")
  func lines() {
    let pairs = (UInt8.min ... .max).flatMap { a in (UInt8.min ... .max).flatMap { b in [a, b] } }
    let lines = DescriptorWriter.lines(pairs)
    #expect(lines.allSatisfy { $0.utf8.count <= 97 && !$0.isEmpty })
    #expect(unescaped(lines.joined()) == pairs)
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

  private func descriptorSet(_ proto: String, in folder: String = "/tmp") throws -> [UInt8] {
    let file = "/tmp/trunkcall-descriptors-\(getpid())-\(UInt64.random(in: 0 ... .max))"
    defer { unlink(file) }
    let run = shell(
      """
      protoc -I '\(root)/Protos' -I '\(wellKnown)' -I '\(folder)' --include_imports \
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
