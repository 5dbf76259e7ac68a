// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

internal import SwiftProtobufPluginLibrary

/// Swift names for the names of a .proto file; message types have protoc-gen-swift's names.
struct Names {
  private let file: FileDescriptor
  private let namer: SwiftProtobufNamer
  private let modules: ProtoFileToModuleMappings

  /// Swift names of the services, by full name.
  private let types: [String: String]
  /// The names at the outermost level of the file.
  private let taken: Set<String>

  /// - Throws: for a message or enum with the name by which the stubs refer to the library.
  init(_ file: FileDescriptor, _ options: Options) throws {
    self.file = file
    modules = options.modules
    namer = SwiftProtobufNamer(
      currentFile: file, protoFileToModuleMappings: options.modules)
    var taken = Set(file.messages.map(namer.fullName(message:)))
    taken.formUnion(file.enums.map(namer.fullName(enum:)))
    guard !taken.contains(Names.library) || file.services.isEmpty else {
      throw OptionError(
        "\(file.name): the stubs call the library \(Names.library); give the file a package or a"
          + " swift_prefix, so that its type of that name gets another one in Swift")
    }
    var types: [String: String] = [:]
    for service in file.services {
      var name = Names.upperCamel(namer.typePrefix(forFile: file) + service.name)
      if Names.reservedTypes.contains(name) { name += "Service" }
      while taken.contains(name) { name += "_" }
      taken.insert(name)
      types[service.fullName] = name
    }
    self.types = types
    self.taken = taken
  }

  /// `Pkg_Service`, with protoc-gen-swift's prefix for the package or `swift_prefix`.
  func type(_ service: ServiceDescriptor) -> String { types[service.fullName] ?? service.name }

  func message(_ message: Descriptor, in service: ServiceDescriptor) -> String {
    let name = Names.quoted(namer.fullName(message: message))
    guard let alias = alias(of: message, in: service) else { return name }
    return name.prefix { $0 != "." } == name[...] ? alias : alias + name.drop { $0 != "." }
  }

  /// Messages that the nested `Service`, `Client` and `Methods` of `service` would hide, as happens
  /// without a package, and the stub's names for them.
  func aliases(in service: ServiceDescriptor) -> [(alias: String, name: String)] {
    var found: [(alias: String, name: String)] = []
    for message in service.methods.flatMap({ [$0.inputType, $0.outputType] }) {
      guard let message, let alias = alias(of: message, in: service) else { continue }
      let name = String(namer.fullName(message: message).prefix { $0 != "." })
      if !found.contains(where: { $0.alias == alias }) { found.append((alias, name)) }
    }
    return found
  }

  private func alias(of message: Descriptor, in service: ServiceDescriptor) -> String? {
    let outermost = String(namer.fullName(message: message).prefix { $0 != "." })
    guard ["Service", "Client", "Methods"].contains(outermost) else { return nil }
    var alias = "\(type(service))_\(outermost)"
    while taken.contains(alias) { alias += "_" }
    return alias
  }

  /// The Swift name of each method of a service, in order; no two are the same.
  func methods(of service: ServiceDescriptor) -> [String] {
    var taken: Set<String> = []
    return service.methods.map { method in
      Names.member(Names.lowerCamel(method.name), &taken)
    }
  }

  /// The Swift name of each unary method's form that returns metadata too, in order. A method with
  /// that name in the .proto keeps it.
  func responseMethods(of service: ServiceDescriptor, beside plain: [String]) -> [String?] {
    var taken = Set(plain)
    return service.methods.map { method in
      guard !method.clientStreaming, !method.serverStreaming else { return nil }
      return Names.member(Names.lowerCamel(method.name) + "Response", &taken)
    }
  }

  /// A type's name where Swift would read a part of it as a modifier: `async`, `isolated`.
  private static func quoted(_ type: String) -> String {
    type.split(separator: ".").map { modifiers.contains(String($0)) ? "`\($0)`" : String($0) }
      .joined(separator: ".")
  }
  private static let modifiers: Set<String> = [
    "any", "async", "await", "borrowing", "consuming", "each", "isolated", "nonisolated", "repeat",
    "sending", "some", "unsafe",
  ]

  private static func member(_ wanted: String, _ taken: inout Set<String>) -> String {
    var name = wanted
    func quoted() -> String { keywords.contains(name) ? "`\(name)`" : name }
    while taken.contains(quoted()) || unusable.contains(name) { name += "_" }
    taken.insert(quoted())
    return quoted()
  }

  /// A type of the library.
  func runtime(_ type: String) -> String { "\(Names.library).\(type)" }

  /// `_Trunkcall` of StubNames.swift.
  private static let library = "_Trunkcall"

  /// Modules that hold messages of this file's methods, other than its own.
  var foreignModules: [String] {
    var found: Set<String> = []
    for method in file.services.flatMap(\.methods) {
      for message in [method.inputType, method.outputType] {
        guard let message, let module = modules.moduleName(forFile: message.file) else { continue }
        if module != namer.targetModule { found.insert(module) }
      }
    }
    return found.sorted()
  }

  /// `SayHello` -> `sayHello`, `HTTPGet` -> `httpGet`, `get_all` -> `getAll`.
  static func lowerCamel(_ name: String) -> String {
    let parts = name.split(separator: "_")
    guard let first = parts.first else { return name }
    let letters = Array(first)
    let capitals = letters.prefix { $0.isUppercase }.count
    // The last capital of a run begins the next word, if one follows.
    let lowered =
      capitals > 1 && capitals < letters.count && letters[capitals].isLowercase
      ? capitals - 1 : capitals
    var result = letters.prefix(lowered).map { $0.lowercased() }.joined()
    result += String(letters.dropFirst(lowered))
    for part in parts.dropFirst() { result += part.prefix(1).uppercased() + part.dropFirst() }
    return result.first?.isNumber == true ? "_" + result : result
  }

  /// With a capital first, so that no method can have the same name: `greeter` -> `Greeter`, `_1`
  /// -> `Service_1`.
  static func upperCamel(_ name: String) -> String {
    guard let first = name.first, first.isLetter else { return "Service" + name }
    return first.uppercased() + name.dropFirst()
  }

  /// Members of the stub itself, or names that Swift reads otherwise even between backticks.
  private static let unusable: Set<String> = ["self", "init", "invoker", "options", "_"]

  private static let keywords: Set<String> = [
    "actor", "any", "as", "associatedtype", "async", "await", "break", "case", "catch", "class",
    "consume", "continue", "copy", "default", "defer", "deinit", "do", "else", "enum", "extension",
    "fallthrough", "false", "fileprivate", "for", "func", "guard", "if", "import", "in", "inout",
    "internal", "is", "let", "macro", "nil", "operator", "package", "precedencegroup", "private",
    "protocol", "public", "repeat", "rethrows", "return", "some", "static", "struct", "subscript",
    "super", "switch", "throw", "throws", "true", "try", "typealias", "var", "where", "while",
  ]

  /// Types that messages and stubs refer to by these names, or that Swift reads otherwise.
  private static let reservedTypes: Set<String> = [
    "Any", "AnyObject", "Array", "Bool", "BooleanLiteralType", "Character", "Data", "Dictionary",
    "Double", "Equatable", "Error", "ExpressibleByArrayLiteral", "ExpressibleByDictionaryLiteral",
    "Extensions", "Float", "Float32", "Float64", "FloatLiteralType", "Foundation",
    "FoundationEssentials", "Hashable", "Hasher", "Int", "Int16", "Int32", "Int64", "Int8",
    "IntegerLiteralType", "Never", "Optional", "Protocol", "Range", "Result", "Self", "Sendable",
    "Set", "String", "StringLiteralType", "Swift", "SwiftProtobuf", "Task", "TrunkProtobuf",
    "Trunkcall", "Type", "UInt", "UInt16", "UInt32", "UInt64", "UInt8", "Void", "CaseIterable",
    "CustomDebugStringConvertible", "CustomStringConvertible", "RawRepresentable", "StaticString",
  ]
}
