// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

internal import SwiftProtobufPluginLibrary

/// Swift names for what a .proto file names; message types are called what protoc-gen-swift calls
/// them.
struct Names {
  private let file: FileDescriptor
  private let namer: SwiftProtobufNamer
  private let modules: ProtoFileToModuleMappings

  init(_ file: FileDescriptor, _ options: Options) {
    self.file = file
    modules = options.modules
    namer = SwiftProtobufNamer(
      currentFile: file, protoFileToModuleMappings: options.modules)
  }

  /// `Pkg_Service`, with protoc-gen-swift's prefix for the package or `swift_prefix`.
  func type(_ service: ServiceDescriptor) -> String {
    let name = namer.typePrefix(forFile: file) + service.name
    return Names.reservedTypes.contains(name) ? name + "Service" : name
  }

  func message(_ message: Descriptor, in service: ServiceDescriptor) -> String {
    let name = namer.fullName(message: message)
    guard let alias = alias(of: message, in: service) else { return name }
    return name.prefix { $0 != "." } == name[...] ? alias : alias + name.drop { $0 != "." }
  }

  /// Messages that the nested `Service`, `Client` and `Methods` of `service` would hide, as happens
  /// without a package, and the names by which the stub calls them.
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
    return "\(type(service))_\(outermost)"
  }

  /// The Swift name of each method of a service, in order; no two are the same.
  func methods(of service: ServiceDescriptor) -> [String] {
    var taken: Set<String> = []
    return service.methods.map { method in
      var name = Names.lowerCamel(method.name)
      while taken.contains(name) || Names.unusable.contains(name) { name += "_" }
      taken.insert(name)
      return Names.keywords.contains(name) ? "`\(name)`" : name
    }
  }

  /// A type of the library. Qualified, since any file of the user's module may have a type of the
  /// same name.
  func runtime(_ type: String) -> String { "Trunkcall." + type }

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
    return result
  }

  /// Members that the stub has itself, or that Swift reads otherwise even between backticks.
  private static let unusable: Set<String> = ["self", "init", "invoker", "options", "_"]

  private static let keywords: Set<String> = [
    "actor", "any", "as", "associatedtype", "async", "await", "break", "case", "catch", "class",
    "consume", "continue", "copy", "default", "defer", "deinit", "do", "else", "enum", "extension",
    "fallthrough", "false", "fileprivate", "for", "func", "guard", "if", "import", "in", "inout",
    "internal", "is", "let", "macro", "nil", "operator", "package", "precedencegroup", "private",
    "protocol", "public", "repeat", "rethrows", "return", "some", "static", "struct", "subscript",
    "super", "switch", "throw", "throws", "true", "try", "typealias", "var", "where", "while",
  ]

  private static let reservedTypes: Set<String> = [
    "Any", "Array", "Bool", "Data", "Dictionary", "Error", "Int", "Optional", "Protocol", "Self",
    "Sendable", "Set", "String", "Swift", "Trunkcall", "TrunkProtobuf", "Type", "Void",
  ]
}
