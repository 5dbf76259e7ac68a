// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import FoundationEssentials
internal import SwiftProtobuf
internal import TrunkSockets
public import Trunkcall

/// Server reflection, `grpc.reflection.v1` and `v1alpha`: which services a server has, and their
/// descriptors, for grpcurl and other clients without stubs (gRPC server-reflection.md).
///
/// ```swift
/// let server = GRPCServer(
///   on: .tcp("0.0.0.0", 50051), services: [Greeter(), HealthService(), ReflectionService()])
/// ```
/// It answers about all services of its server, itself included. The descriptors are in the
/// generated stubs, unless these were made with `Descriptors=false`; a service without any is listed
/// and nothing else is known of it.
///
/// Whoever can call it learns the whole interface. To restrict that, put an interceptor before it
/// (``names``) or serve it on a listener of its own, with ``init(of:)``. An object that is given to several
/// servers answers about the services of all of them.
public final class ReflectionService: ServiceReflecting {
  private struct State {
    var names: Set<String> = []
    var index = DescriptorIndex()
  }
  private let state: Locked<State>
  /// What was wrong when it was made; reported with the first server.
  private let problems: Locked<[String]>

  /// The services that it serves, for an interceptor's scope.
  public static let names = [
    Grpc_Reflection_V1_ServerReflection.name, Grpc_Reflection_V1alpha_ServerReflection.name,
  ]

  /// Names in requests, in bytes: longer ones end the stream with INVALID_ARGUMENT.
  static let maximumNameLength = 4_096

  /// - Parameter services: served elsewhere, to be described besides those of its own server.
  public convenience init(of services: [any RPCService] = []) {
    self.init(services, DescriptorIndex(), [])
  }

  /// With further files: for extensions, for messages inside of `google.protobuf.Any`, or for
  /// services whose stubs have no descriptors.
  /// - Parameters:
  ///   - services: as for ``init(of:)``.
  ///   - files: serialized `google.protobuf.FileDescriptorSet`s, as
  ///     `protoc --descriptor_set_out=FILE --include_imports` writes them. They come before files of
  ///     the same name that stubs bring.
  /// - Throws: ``DescriptorSetError`` for a set that cannot be read.
  public convenience init(
    of services: [any RPCService] = [], files: [[UInt8]]
  ) throws(DescriptorSetError) {
    var index = DescriptorIndex()
    var problems: [String] = []
    for (position, bytes) in files.enumerated() {
      let set = try? Google_Protobuf_FileDescriptorSet(serializedBytes: bytes, partial: true)
      guard let set else { throw DescriptorSetError(position: position) }
      for var file in set.file {
        file.clearSourceCodeInfo()
        guard let bytes: [UInt8] = try? file.serializedBytes(partial: true) else {
          throw DescriptorSetError(position: position)
        }
        if let problem = index.add(file, bytes, from: "descriptor set \(position)") {
          problems.append(problem)
        }
      }
    }
    self.init(services, index, problems)
  }

  private init(_ services: [any RPCService], _ index: DescriptorIndex, _ problems: [String]) {
    state = Locked(State(index: index))
    self.problems = Locked(problems)
    let found = services.isEmpty ? [] : add(ServedServices(of: services))
    self.problems.withLock { $0 += found }
  }

  /// Registers the methods of both versions.
  public func register(in table: inout MethodTable) {
    table.describe(
      Grpc_Reflection_V1_ServerReflection.name, Grpc_Reflection_V1_ServerReflection.descriptors)
    table.describe(
      Grpc_Reflection_V1alpha_ServerReflection.name,
      Grpc_Reflection_V1alpha_ServerReflection.descriptors)
    let v1 = Grpc_Reflection_V1_ServerReflection.Methods.serverReflectionInfo
    // The messages are the same but for the names of their types, which are not on the wire.
    let v1alpha = MethodDescriptor(
      service: Grpc_Reflection_V1alpha_ServerReflection.name, method: v1.method,
      request: v1.request, response: v1.response)
    for method in [v1, v1alpha] {
      table.bidirectional(method) { [self] in try await answer($0, $1, $2) }
    }
  }

  /// Called by a server when it is made.
  public func serves(_ services: ServedServices) -> [String] {
    let before = problems.withLock { problems in
      defer { problems = [] }
      return problems
    }
    return before + add(services) + state.withLock { $0.index.missingImports }
  }

  private func add(_ services: ServedServices) -> [String] {
    state.withLock { state in
      state.names.formUnion(services.names)
      // By name, so that it is always the same file that is kept.
      return services.descriptors.sorted { $0.key < $1.key }.flatMap { name, descriptors in
        descriptors.files.compactMap { state.index.add($0, from: name) }
      }
    }
  }

  // MARK: Answers

  typealias Request = Grpc_Reflection_V1_ServerReflectionRequest
  typealias Response = Grpc_Reflection_V1_ServerReflectionResponse

  /// Answers one request after the other, until the client ends the stream or the server's stop
  /// begins: the client decides how long a stream lasts, and would delay the stop.
  nonisolated(nonsending) private func answer(
    _ requests: RequestStream<Request>, _ responses: MessageWriter<Response>, _ call: ServerCall
  ) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { [self] in
        var sent: Set<String> = []
        for try await request in requests {
          try await responses.write(try answer(request, except: &sent))
        }
      }
      group.addTask {
        try await call.gracefulShutdown()
        throw RPCError(.unavailable, "the server is shutting down")
      }
      try await group.next()
      group.cancelAll()
    }
  }

  /// - Parameter sent: names of files that the stream has carried before.
  func answer(_ request: Request, except sent: inout Set<String>) throws(RPCError) -> Response {
    try request.checkLength()
    let state = state.withLock { $0 }
    var response = Response()
    response.validHost = request.host
    response.originalRequest = request
    func files(_ file: DescriptorIndex.File?, _ what: String) {
      guard let file else { return response.fail(.notFound, "unknown \(what)") }
      response.fileDescriptorResponse.fileDescriptorProto =
        state.index.withImports(file, except: &sent).map { Data($0) }
    }
    switch request.messageRequest {
    case .fileByFilename(let name): files(state.index.files[name], "file \(name)")
    case .fileContainingSymbol(let symbol):
      files(state.index.file(defining: symbol), "symbol \(symbol)")
    case .fileContainingExtension(let wanted):
      files(
        state.index.file(extending: wanted.containingType, number: wanted.extensionNumber),
        "extension \(wanted.extensionNumber) of \(wanted.containingType)")
    case .allExtensionNumbersOfType(let type):
      guard let numbers = state.index.extensionNumbers(of: type) else {
        response.fail(.notFound, "unknown type \(type)")
        break
      }
      response.allExtensionNumbersResponse = .with {
        $0.baseTypeName = type
        $0.extensionNumber = numbers
      }
    case .listServices:
      response.listServicesResponse.service = state.names.sorted().map { name in
        .with { $0.name = name }
      }
    case nil: response.fail(.invalidArgument, "the request asks for nothing that is known here")
    }
    return response
  }
}

/// A descriptor set that cannot be read.
public struct DescriptorSetError: Error, CustomStringConvertible {
  /// Its position among those that were given, from 0.
  public let position: Int

  public var description: String {
    "descriptor set \(position) is no serialized google.protobuf.FileDescriptorSet"
  }
}

extension ReflectionService.Request {
  fileprivate func checkLength() throws(RPCError) {
    let name =
      switch messageRequest {
      case .fileByFilename(let name), .fileContainingSymbol(let name): name
      case .allExtensionNumbersOfType(let name), .listServices(let name): name
      case .fileContainingExtension(let wanted): wanted.containingType
      case nil: ""
      }
    let limit = ReflectionService.maximumNameLength
    guard max(name.utf8.count, host.utf8.count) <= limit else {
      throw RPCError(.invalidArgument, "a name of more than \(limit) bytes")
    }
  }
}

extension ReflectionService.Response {
  fileprivate mutating func fail(_ code: RPCError.Code, _ message: String) {
    errorResponse = .with {
      $0.errorCode = Int32(code.rawValue)
      $0.errorMessage = message
    }
  }
}
