// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

internal import SwiftProtobuf
internal import SwiftProtobufPluginLibrary

/// The descriptors of a file and of all that it imports, as the constant `_descriptors` of its stub.
///
/// Each is one string literal, since Swift compiles an array literal of that many bytes in seconds.
/// Its text is as `ProtoDescriptors` reads it: names stay readable, and a byte takes one byte in the
/// program unless it is 0 or above 127.
struct DescriptorWriter {
  let file: FileDescriptor
  let names: Names

  func write(_ out: inout Lines) throws {
    out.add(
      "", "// \(file.name) and what it imports, for server reflection: FileDescriptorProto each.",
      "private nonisolated let _descriptors = \(names.runtime("ProtoDescriptors"))(")
    let files = DescriptorWriter.withImports(file)
    for (index, file) in files.enumerated() {
      let bytes: [UInt8] = try file.extractProto().serializedBytes()
      out.add("  \"\"\"")
      let lines = DescriptorWriter.lines(bytes)
      for line in lines.dropLast() { out.add("  " + line + "\\") }
      out.add("  " + (lines.last ?? ""), "  \"\"\"" + (index + 1 < files.count ? "," : ""))
    }
    out.add(")")
  }

  /// A file before those that import it, each once.
  static func withImports(_ file: FileDescriptor) -> [FileDescriptor] {
    var found: [FileDescriptor] = []
    var seen: Set<String> = []
    func visit(_ file: FileDescriptor) {
      guard seen.insert(file.name).inserted else { return }
      file.dependencies.forEach(visit)
      found.append(file)
    }
    visit(file)
    return found
  }

  /// Lines of at most 97 columns, broken before a name where that is near, so that a change in the
  /// .proto changes few of them.
  static func lines(_ bytes: [UInt8]) -> [String] {
    var lines: [String] = []
    var line = ""
    for byte in bytes {
      let text = escaped(byte)
      // 0x0A: the tag of field 1, the name in almost all messages of a descriptor.
      if line.utf8.count + text.utf8.count > 97 || byte == 0x0A && line.utf8.count > 60 {
        lines.append(line)
        line = ""
      }
      line += text
    }
    return lines + (line.isEmpty ? [] : [line])
  }

  private static func escaped(_ byte: UInt8) -> String {
    switch byte {
    case 0: "\\u{100}"
    case UInt8(ascii: "\n"): "\\n"
    case UInt8(ascii: "\r"): "\\r"
    case UInt8(ascii: "\t"): "\\t"
    case UInt8(ascii: "\""), UInt8(ascii: "\\"): "\\" + String(UnicodeScalar(byte))
    case 0x20..<0x7F: String(UnicodeScalar(byte))
    default: "\\u{" + String(byte, radix: 16) + "}"
    }
  }
}
