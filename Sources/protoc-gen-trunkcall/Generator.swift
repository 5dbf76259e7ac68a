// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

internal import SwiftProtobuf
internal import SwiftProtobufPluginLibrary

/// The protoc plug-in that writes `NAME.trunk.swift` beside protoc-gen-swift's `NAME.pb.swift`:
/// for every service its method descriptors, a protocol to implement, and a client to call.
@main
struct Generator: CodeGenerator {
  static let release = "0.1.0"

  var version: String? { Generator.release }
  var copyrightLine: String? { "Copyright 2026 The Trunkcall Authors, Apache-2.0" }

  var supportedFeatures: [Google_Protobuf_Compiler_CodeGeneratorResponse.Feature] {
    [.proto3Optional, .supportsEditions]
  }
  // Services do not differ between editions; the messages are protoc-gen-swift's affair.
  var supportedEditionRange: ClosedRange<Google_Protobuf_Edition> {
    Google_Protobuf_Edition.proto2...Google_Protobuf_Edition.edition2024
  }

  func generate(
    files: [FileDescriptor], parameter: any CodeGeneratorParameter,
    protoCompilerContext: any ProtoCompilerContext, generatorOutputs: any GeneratorOutputs
  ) throws {
    let options = try Options(parameter.parsedPairs)
    for file in files {
      try generatorOutputs.add(
        fileName: options.fileName(for: file.name),
        contents: StubFile(file, options).text)
    }
  }

  func printHelp() {
    print(
      """
      protoc-gen-trunkcall \(Generator.release): gRPC stubs for Trunkcall, from protoc

        protoc --swift_out=DIR --trunkcall_out=DIR [--trunkcall_opt=KEY=VALUE]... FILE.proto

      \(Options.help)
      """)
  }
}
