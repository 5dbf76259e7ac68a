// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import SwiftProtobuf
import Testing

@testable import TrunkServices

@Suite("Descriptor index")
struct DescriptorIndexTests {
  private func index(_ files: [FileProto] = Example.files) throws -> DescriptorIndex {
    var index = DescriptorIndex()
    for file in files { #expect(index.add(try file.bytes, from: "test") == nil) }
    return index
  }
  private func names(_ files: [[UInt8]]) throws -> [String] {
    try files.map { try FileProto(serializedBytes: $0).name }
  }

  @Test("whatever has a full name is found by it, and nothing else is")
  func symbols() throws {
    let index = try index()
    for symbol in Example.symbols {
      #expect(index.file(defining: symbol)?.name == "example.proto", "\(symbol)")
    }
    #expect(index.file(defining: "base.Extended")?.name == "base.proto")
    for symbol in Example.unknown { #expect(index.file(defining: symbol) == nil, "\(symbol)") }
  }

  @Test("names of a file without a package have no dot in front")
  func withoutPackage() throws {
    let index = try index([
      .with {
        $0.name = "bare.proto"
        $0.service = [.with { $0.name = "S" }]
      }
    ])
    #expect(index.file(defining: "S")?.name == "bare.proto")
    #expect(index.file(defining: ".S") == nil)
  }

  @Test("an extension is found by the message that it extends and its number, wherever it is")
  func extensions() throws {
    let index = try index()
    for number in [101, 150] as [Int32] {
      #expect(index.file(extending: "base.Extended", number: number)?.name == "example.proto")
    }
    #expect(index.file(extending: "base.Extended", number: 102) == nil)
    #expect(index.file(extending: "a.b.M", number: 101) == nil)
    #expect(index.file(extending: ".base.Extended", number: 101) == nil)
    #expect(index.extensionNumbers(of: "base.Extended") == [101, 150])
    #expect(index.extensionNumbers(of: "a.b.M") == [])
    #expect(index.extensionNumbers(of: "a.b.M.Nested") == [])
    #expect(index.extensionNumbers(of: "a.b.E") == nil)
    #expect(index.extensionNumbers(of: "nothing") == nil)
  }

  @Test("imports come once, without those that were sent; the file itself always, and first")
  func imports() throws {
    let index = try index()
    let example = try #require(index.files["example.proto"])
    var sent: Set<String> = []
    #expect(
      try names(index.withImports(example, except: &sent))
        == ["example.proto", "left.proto", "right.proto", "base.proto"])
    #expect(try names(index.withImports(example, except: &sent)) == ["example.proto"])
    let left = try #require(index.files["left.proto"])
    #expect(try names(index.withImports(left, except: &sent)) == ["left.proto"])
    sent = ["left.proto"]
    #expect(
      try names(index.withImports(example, except: &sent))
        == ["example.proto", "right.proto", "base.proto"])
  }

  @Test("files that import each other, and themselves, end no look-up")
  func cycle() throws {
    let files = (0..<3).map { number in
      FileProto.with {
        $0.name = "\(number).proto"
        $0.dependency = (0..<3).map { "\($0).proto" }
      }
    }
    let index = try index(files)
    var sent: Set<String> = []
    let all = index.withImports(try #require(index.files["1.proto"]), except: &sent)
    #expect(try names(all) == ["1.proto", "0.proto", "2.proto"])
  }

  @Test("a tower of diamonds costs one visit for each file")
  func diamonds() throws {
    // Paths from the top: 2 to the power of 64.
    let files = (0..<64).flatMap { level in
      ["l", "r"].map { side in
        FileProto.with {
          $0.name = "\(side)\(level).proto"
          $0.dependency = level == 0 ? [] : ["l\(level - 1).proto", "r\(level - 1).proto"]
        }
      }
    }
    let index = try index(files)
    var sent: Set<String> = []
    let all = index.withImports(try #require(index.files["l63.proto"]), except: &sent)
    #expect(all.count == 127)
  }

  @Test("a file that comes twice is kept once, without a word; so with source info")
  func twice() throws {
    var index = try index()
    var withSource = Example.example
    withSource.sourceCodeInfo = .with { $0.location = [.with { $0.leadingComments = "comment" }] }
    #expect(index.add(try Example.example.bytes, from: "other") == nil)
    #expect(index.add(try withSource.bytes, from: "other") == nil)
    #expect(index.files.count == 4)
    #expect(index.files["example.proto"]?.bytes == (try Example.example.bytes))
  }

  @Test("of two files with one name the first is kept; both sources are named")
  func disagreement() throws {
    var index = try index()
    var other = Example.example
    other.messageType.append(.with { $0.name = "Newer" })
    let problem = try #require(index.add(try other.bytes, from: "other"))
    #expect(problem.contains("test") && problem.contains("other"))
    #expect(problem.contains("example.proto"))
    #expect(index.files["example.proto"]?.source == "test")
    #expect(index.file(defining: "a.b.Newer") == nil)
  }

  @Test("of two files that define one symbol the first has it; the rest of the second is found")
  func symbolTwice() throws {
    var index = try index()
    var other = Example.example
    other.name = "moved/example.proto"
    other.messageType.append(.with { $0.name = "Newer" })
    let problem = try #require(index.add(try other.bytes, from: "other"))
    #expect(problem.contains("a.b.M") && problem.contains("moved/example.proto"))
    #expect(index.file(defining: "a.b.M")?.name == "example.proto")
    #expect(index.file(defining: "a.b.Newer")?.name == "moved/example.proto")
  }

  @Test("an import that nothing brings is named, and left out of answers")
  func missing() throws {
    let index = try index([Example.left])
    #expect(index.missingImports.count == 1)
    #expect(index.missingImports.first?.contains("base.proto") == true)
    var sent: Set<String> = []
    let left = try #require(index.files["left.proto"])
    #expect(try names(index.withImports(left, except: &sent)) == ["left.proto"])
  }

  @Test("bytes that are no descriptor are refused with their source's name")
  func garbage() {
    var index = DescriptorIndex()
    for bytes in [[0xFF], [0x0A, 0x05, 0x41], [0x22, 0x02, 0x0A, 0x7F]] as [[UInt8]] {
      #expect(index.add(bytes, from: "stub")?.contains("stub") == true)
    }
    #expect(index.files.isEmpty)
  }
}
