// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import SwiftProtobuf

/// Files by name, by the symbols that they define, and by the extensions. A value;
/// ``ReflectionService`` guards one.
///
/// A file comes with several stubs if several import it; the first one with a name is kept, and so
/// is the first definition of a symbol.
struct DescriptorIndex: Sendable {
  struct File: Sendable {
    let name: String
    /// As it was brought: a serialized FileDescriptorProto.
    let bytes: [UInt8]
    let imports: [String]
    /// The service or descriptor set that brought it.
    let source: String
  }
  private(set) var files: [String: File] = [:]
  /// The name of the file that defines it, by full name.
  private var symbols: [String: String] = [:]
  private var messages: Set<String> = []
  /// The name of the file that defines it, by extended message and number.
  private var extensions: [String: [Int32: String]] = [:]

  /// Adds a file.
  /// - Returns: why it, or a part of it, is left out; nil if it is not, or was there before.
  mutating func add(_ bytes: [UInt8], from source: String) -> String? {
    guard
      let proto = try? Google_Protobuf_FileDescriptorProto(serializedBytes: bytes, partial: true)
    else { return "\(source) brings a file descriptor that cannot be read; it is left out" }
    return add(proto, bytes, from: source)
  }

  mutating func add(
    _ proto: Google_Protobuf_FileDescriptorProto, _ bytes: [UInt8], from source: String
  ) -> String? {
    if let known = files[proto.name] {
      guard known.bytes != bytes, !known.isEqual(to: proto) else { return nil }
      return """
        \(known.source) and \(source) bring different files \(proto.name); that of \(known.source) \
        is served, and of the other one no symbol is found
        """
    }
    files[proto.name] = File(
      name: proto.name, bytes: bytes, imports: proto.dependency, source: source)
    var definitions = Definitions()
    definitions.visit(proto)
    var twice: String?
    for symbol in definitions.symbols {
      if let other = symbols[symbol], twice == nil {
        twice = "\(other) and \(proto.name), of \(source), both define \(symbol)"
      }
      if symbols[symbol] == nil { symbols[symbol] = proto.name }
    }
    messages.formUnion(definitions.messages)
    for (type, number) in definitions.extensions where extensions[type]?[number] == nil {
      extensions[type, default: [:]][number] = proto.name
    }
    return twice.map { "\($0); the former is found" }
  }

  /// Files that are imported, and that nothing brought.
  var missingImports: [String] {
    files.values.sorted { $0.name < $1.name }.flatMap { file in
      file.imports.filter { files[$0] == nil }
        .map { "\(file.name), of \(file.source), imports \($0), which nothing brings" }
    }
  }

  // MARK: Look-ups

  /// The file that defines a message, enum, enum value, field, oneof, extension, service or method,
  /// by its full name. An enum's values are named as its siblings (descriptor.proto).
  func file(defining symbol: String) -> File? { symbols[symbol].flatMap { files[$0] } }

  func file(extending type: String, number: Int32) -> File? {
    extensions[type]?[number].flatMap { files[$0] }
  }

  /// Numbers of the extensions of a message, sorted; nil for a name that is no message's.
  func extensionNumbers(of type: String) -> [Int32]? {
    if let numbers = extensions[type] { return numbers.keys.sorted() }
    return messages.contains(type) ? [] : nil
  }

  /// `file` and what it imports, without what is in `sent`, to which they are added. `file` itself
  /// is always among them, and first.
  func withImports(_ file: File, except sent: inout Set<String>) -> [[UInt8]] {
    var found: [[UInt8]] = []
    var seen: Set<String> = [file.name]
    var waiting = [file]
    var next = 0
    while next < waiting.count {
      let file = waiting[next]
      if sent.insert(file.name).inserted || next == 0 { found.append(file.bytes) }
      for name in file.imports where seen.insert(name).inserted {
        if let imported = files[name] { waiting.append(imported) }
      }
      next += 1
    }
    return found
  }
}

extension DescriptorIndex.File {
  /// Whether the descriptors say the same; releases of protoc differ in how they write them.
  fileprivate func isEqual(to proto: Google_Protobuf_FileDescriptorProto) -> Bool {
    guard
      var own = try? Google_Protobuf_FileDescriptorProto(serializedBytes: bytes, partial: true)
    else { return false }
    var other = proto
    own.clearSourceCodeInfo()
    other.clearSourceCodeInfo()
    return own == other
  }
}

/// The full names that one file defines.
private struct Definitions {
  var symbols: [String] = []
  var messages: [String] = []
  var extensions: [(type: String, number: Int32)] = []

  mutating func visit(_ file: Google_Protobuf_FileDescriptorProto) {
    let scope = file.package
    for message in file.messageType { visit(message, in: scope) }
    for type in file.enumType { visit(type, in: scope) }
    for field in file.extension { visit(extension: field, in: scope) }
    for service in file.service {
      let name = add(service.name, in: scope)
      for method in service.method { add(method.name, in: name) }
    }
  }

  private mutating func visit(_ message: Google_Protobuf_DescriptorProto, in scope: String) {
    let name = add(message.name, in: scope)
    messages.append(name)
    for field in message.field { add(field.name, in: name) }
    for oneof in message.oneofDecl { add(oneof.name, in: name) }
    for field in message.extension { visit(extension: field, in: name) }
    for type in message.enumType { visit(type, in: name) }
    for nested in message.nestedType { visit(nested, in: name) }
  }

  private mutating func visit(_ type: Google_Protobuf_EnumDescriptorProto, in scope: String) {
    add(type.name, in: scope)
    for value in type.value { add(value.name, in: scope) }
  }

  private mutating func visit(
    extension field: Google_Protobuf_FieldDescriptorProto, in scope: String
  ) {
    add(field.name, in: scope)
    // protoc writes the full name, with a dot in front.
    guard field.extendee.hasPrefix(".") else { return }
    extensions.append((String(field.extendee.dropFirst()), field.number))
  }

  @discardableResult
  private mutating func add(_ name: String, in scope: String) -> String {
    symbols.append(scope.isEmpty ? name : "\(scope).\(name)")
    return symbols[symbols.count - 1]
  }
}
