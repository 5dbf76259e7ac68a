// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The descriptors of a .proto file and of all that it imports, as a generated stub brings them for
/// server reflection (`google.protobuf.FileDescriptorProto`, descriptor.proto).
public struct ProtoDescriptors: Sendable {
  private let encoded: [StaticString]

  /// For generated stubs.
  /// - Parameter files: one for each .proto file, a file before those that import it: the bytes of
  ///   its serialized FileDescriptorProto, each as the Unicode scalar of that value, 0 as U+0100.
  ///   So a literal stays a plain constant, and linkers merge equal ones.
  public init(_ files: StaticString...) { encoded = files }

  /// The serialized FileDescriptorProtos, decoded anew at each access: a file before those that
  /// import it, without source info.
  public var files: [[UInt8]] {
    encoded.map { file in
      file.withUTF8Buffer { utf8 in
        var bytes: [UInt8] = []
        bytes.reserveCapacity(utf8.count)
        for scalar in String(decoding: utf8, as: UTF8.self).unicodeScalars {
          bytes.append(UInt8(truncatingIfNeeded: scalar.value))
        }
        return bytes
      }
    }
  }
}

/// What a server serves: the names of its services, and the descriptors that their stubs bring.
public struct ServedServices: Sendable {
  /// `package.Service` each, sorted.
  public let names: [String]
  /// By service; those whose stubs were generated with `Descriptors=false`, or that are written by
  /// hand, have none.
  public let descriptors: [String: ProtoDescriptors]

  init(methods: some Sequence<MethodName>, _ descriptors: [String: ProtoDescriptors]) {
    names = Set(methods.map(\.service)).union(descriptors.keys).subtracting([""]).sorted()
    self.descriptors = descriptors
  }

  /// What a server of `services` would serve; for a reflection service on another listener.
  public init(of services: [any RPCService]) {
    var table = MethodTable()
    for service in services { service.register(in: &table) }
    self.init(methods: table.handlers.keys, table.descriptors)
  }
}

/// A service that answers about the services of its server, itself included: server reflection.
public protocol ServiceReflecting: RPCService {
  /// What its server serves. Called when the server, or the channel within the process, is made.
  /// - Returns: what is wrong with the descriptors; the server logs each at error level.
  func serves(_ services: ServedServices) -> [String]
}
