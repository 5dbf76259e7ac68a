// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

internal import SwiftProtobufPluginLibrary

/// The settings of `--trunkcall_opt`. Names that protoc-gen-swift has too have the same meaning.
struct Options {
  static let help = """
    Visibility=Internal|Package|Public          access of what is generated (default Internal)
    FileNaming=FullPath|PathToUnderscores|DropPath   where it is written (default FullPath)
    Server=true|false                           the protocol to implement (default true)
    Client=true|false                           the client to call (default true)
    UnimplementedDefaults=true|false            methods left out answer UNIMPLEMENTED, instead of
                                                failing to compile (default false)
    Descriptors=true|false|only                 what server reflection tells of the services, in
                                                the program (default true); only: and nothing else
    UseAccessLevelOnImports=true|false          `public import` and the like, for modules that are
                                                built with InternalImportsByDefault (default false)
    ProtoPathModuleMappings=FILE                which .proto is in which Swift module
    """

  enum Visibility: String {
    case `internal`, package, `public`
  }
  enum FileNaming: String {
    case fullPath = "fullpath"
    case pathToUnderscores = "pathtounderscores"
    case dropPath = "droppath"
  }

  enum Descriptors: String {
    case included = "true"
    case left = "false"
    case only
  }

  var visibility = Visibility.internal
  var naming = FileNaming.fullPath
  var server = true
  var client = true
  var unimplementedDefaults = false
  var descriptors = Descriptors.included
  var accessLevelOnImports = false
  var modules = ProtoFileToModuleMappings()

  init(_ pairs: [(key: String, value: String)]) throws {
    for (key, value) in pairs {
      switch key {
      case "Visibility":
        visibility = try Options.choice(Visibility(rawValue: value.lowercased()), key, value)
      case "FileNaming":
        let plain = value.lowercased().filter { $0 != "_" }
        naming = try Options.choice(FileNaming(rawValue: plain), key, value)
      case "Server": server = try Options.choice(Bool(value.lowercased()), key, value)
      case "Client": client = try Options.choice(Bool(value.lowercased()), key, value)
      case "UnimplementedDefaults":
        unimplementedDefaults = try Options.choice(Bool(value.lowercased()), key, value)
      case "Descriptors":
        descriptors = try Options.choice(Descriptors(rawValue: value.lowercased()), key, value)
      case "UseAccessLevelOnImports":
        accessLevelOnImports = try Options.choice(Bool(value.lowercased()), key, value)
      case "ProtoPathModuleMappings":
        if !value.isEmpty { modules = try ProtoFileToModuleMappings(path: value) }
      default:
        throw OptionError("unknown option '\(key)'; there are\n\(Options.help)")
      }
    }
  }

  func fileName(for proto: String) -> String {
    let stem = proto.hasSuffix(".proto") ? String(proto.dropLast(6)) : proto
    switch naming {
    case .fullPath: return stem + ".trunk.swift"
    case .pathToUnderscores:
      return String(stem.map { $0 == "/" ? "_" : $0 }) + ".trunk.swift"
    case .dropPath:
      return (stem.split(separator: "/").last.map(String.init) ?? stem) + ".trunk.swift"
    }
  }

  private static func choice<T>(_ parsed: T?, _ key: String, _ value: String) throws -> T {
    guard let parsed else {
      throw OptionError("option '\(key)' cannot be '\(value)'; there are\n\(Options.help)")
    }
    return parsed
  }
}

struct OptionError: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) {
    self.description = description
  }
}
