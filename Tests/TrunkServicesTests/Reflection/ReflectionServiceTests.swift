// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import SwiftProtobuf
import Testing
import Trunkcall

@testable import TrunkServices

private typealias V1 = Grpc_Reflection_V1_ServerReflection
private typealias Request = Grpc_Reflection_V1_ServerReflectionRequest
private typealias Response = Grpc_Reflection_V1_ServerReflectionResponse

@Suite("Reflection service", .timeLimit(.minutes(1)))
struct ReflectionServiceTests {
  /// Without descriptors, as its stub was made with Descriptors=false.
  private struct Undescribed: RPCService {
    func register(in table: inout MethodTable) {
      table.unary(
        MethodDescriptor<[UInt8], [UInt8]>(
          service: "t.Undescribed", method: "Do", request: .bytes, response: .bytes)
      ) { payload, _ in payload }
    }
  }

  private func examples() throws -> [UInt8] {
    let set = Google_Protobuf_FileDescriptorSet.with { $0.file = Example.files }
    return try set.serializedBytes()
  }
  private static let all = [
    "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection", "t.Undescribed",
  ]

  /// A stream on a server with health, the examples and a service without descriptors.
  private func withStream(
    version: String = "v1", _ body: (Exchange) async throws -> Void
  ) async throws {
    let server = GRPCServer(
      on: .tcp("127.0.0.1", 0),
      services: [HealthService(), Undescribed(), try ReflectionService(files: [examples()])])
    async let running: Void = server.run()
    let address = try #require(try await server.listeningAddresses().first)
    do {
      try await withChannel(to: "ipv4:\(address)") { channel in
        // The messages are the same on the wire.
        let method = MethodDescriptor<Request, Response>(
          service: "grpc.reflection.\(version).ServerReflection", method: "ServerReflectionInfo",
          request: V1.Methods.serverReflectionInfo.request,
          response: V1.Methods.serverReflectionInfo.response)
        let exchange = Exchange(try await channel.bidirectional(method, CallOptions()))
        try await body(exchange)
        try await exchange.stream.requests.finish()
        #expect(try await exchange.replies.next() == nil)
      }
    } catch {
      server.shutDown()
      throw error
    }
    server.shutDown()
    try await running
  }

  private final class Exchange {
    let stream: BidirectionalCall<Request, Response>
    var replies: ResponseStream<Response>.AsyncIterator

    init(_ stream: BidirectionalCall<Request, Response>) {
      self.stream = stream
      replies = stream.responses.makeAsyncIterator()
    }

    /// Sends one request and awaits the answer to it.
    func ask(_ kind: Request.OneOf_MessageRequest?) async throws -> Response {
      let request = Request.with {
        $0.host = "here"
        $0.messageRequest = kind
      }
      try await stream.requests.write(request)
      let reply = try #require(try await replies.next())
      #expect(reply.originalRequest == request && reply.validHost == "here")
      return reply
    }

    func files(_ kind: Request.OneOf_MessageRequest) async throws -> [String] {
      try await ask(kind).fileDescriptorResponse.fileDescriptorProto.map {
        try FileProto(serializedBytes: $0).name
      }
    }

    func expect(
      _ kind: Request.OneOf_MessageRequest, _ expected: [String],
      _ location: SourceLocation = #_sourceLocation
    ) async throws {
      let got = try await files(kind)
      #expect(got == expected, sourceLocation: location)
    }

    /// An error in the answer, which leaves the stream open.
    func expect(
      error code: Int32, _ kind: Request.OneOf_MessageRequest?,
      _ location: SourceLocation = #_sourceLocation
    ) async throws {
      let error = try await ask(kind).errorResponse
      #expect(error.errorCode == code, "\(String(describing: kind))", sourceLocation: location)
      #expect(!error.errorMessage.isEmpty, sourceLocation: location)
    }
  }

  @Test(
    "v1 and v1alpha list the same services, sorted, themselves and those without descriptors",
    arguments: ["v1", "v1alpha"])
  func list(version: String) async throws {
    try await withStream(version: version) { stream in
      let reply = try await stream.ask(.listServices("anything"))
      #expect(reply.listServicesResponse.service.map(\.name) == ReflectionServiceTests.all)
      try await stream.expect(
        .fileContainingSymbol("grpc.reflection.v1alpha.ServerReflection"),
        ["grpc/reflection/v1alpha/reflection.proto"])
    }
  }

  @Test("a file is sent with its imports, and these once on a stream")
  func files() async throws {
    try await withStream { stream in
      try await stream.expect(
        .fileByFilename("example.proto"),
        ["example.proto", "left.proto", "right.proto", "base.proto"])
      try await stream.expect(.fileByFilename("example.proto"), ["example.proto"])
      try await stream.expect(.fileByFilename("base.proto"), ["base.proto"])
    }
    // Another stream knows nothing of that one.
    try await withStream { stream in
      try await stream.expect(.fileByFilename("left.proto"), ["left.proto", "base.proto"])
    }
  }

  @Test("services, methods, messages, fields, oneofs, enums, values and extensions are found")
  func symbols() async throws {
    try await withStream { stream in
      for symbol in Example.symbols {
        #expect(try await stream.files(.fileContainingSymbol(symbol)).first == "example.proto")
      }
      for symbol in ["grpc.health.v1.Health", "grpc.health.v1.Health.Watch"] {
        let files = try await stream.files(.fileContainingSymbol(symbol))
        #expect(files == ["grpc/health/v1/health.proto"])
      }
    }
  }

  @Test("extensions are found by message and number; their numbers are sorted")
  func extensions() async throws {
    func wanted(_ type: String, _ number: Int32) -> Request.OneOf_MessageRequest {
      .fileContainingExtension(
        .with {
          $0.containingType = type
          $0.extensionNumber = number
        })
    }
    try await withStream { stream in
      #expect(try await stream.files(wanted("base.Extended", 150)).first == "example.proto")
      try await stream.expect(error: 5, wanted("base.Extended", 151))
      try await stream.expect(error: 5, wanted("nothing", -1))
      let reply = try await stream.ask(.allExtensionNumbersOfType("base.Extended"))
      #expect(reply.allExtensionNumbersResponse.baseTypeName == "base.Extended")
      #expect(reply.allExtensionNumbersResponse.extensionNumber == [101, 150])
      let none = try await stream.ask(.allExtensionNumbersOfType("a.b.M"))
      #expect(none.allExtensionNumbersResponse.extensionNumber == [])
      try await stream.expect(error: 5, .allExtensionNumbersOfType("a.b.E"))
    }
  }

  @Test("unknown names are NOT_FOUND in the answer, and the stream goes on")
  func unknown() async throws {
    try await withStream { stream in
      for symbol in Example.unknown + ["t.Undescribed", "t.Undescribed.Do"] {
        try await stream.expect(error: 5, .fileContainingSymbol(symbol))
      }
      for file in ["", "nothing.proto", "Example.proto", "./example.proto", "a.b.M"] {
        try await stream.expect(error: 5, .fileByFilename(file))
      }
      // C++, grpcio: INVALID_ARGUMENT or UNIMPLEMENTED, in the answer.
      try await stream.expect(error: 3, nil)
      #expect(try await stream.ask(.listServices("")).listServicesResponse.service.count == 4)
    }
  }

  @Test("a name of 4,096 bytes is looked up; one more ends the stream with INVALID_ARGUMENT")
  func longNames() async throws {
    let service = ReflectionService()
    var sent: Set<String> = []
    func request(_ length: Int, _ set: (inout Request, String) -> Void) -> Request {
      .with { set(&$0, String(repeating: "x", count: length)) }
    }
    let kinds: [(inout Request, String) -> Void] = [
      { $0.fileByFilename = $1 }, { $0.fileContainingSymbol = $1 },
      { $0.fileContainingExtension.containingType = $1 },
      { $0.allExtensionNumbersOfType = $1 }, { $0.listServices = $1 }, { $0.host = $1 },
    ]
    for kind in kinds {
      _ = try service.answer(request(4_096, kind), except: &sent)
      let error = #expect(throws: RPCError.self) {
        try service.answer(request(4_097, kind), except: &sent)
      }
      #expect(error?.code == .invalidArgument)
    }
  }

  @Test("streams end when the server's stop begins")
  func stop() async throws {
    var options = ServerOptions()
    options.drain = .seconds(600)
    let server = GRPCServer(
      on: .tcp("127.0.0.1", 0), services: [ReflectionService()], options: options)
    async let running: Void = server.run()
    let address = try #require(try await server.listeningAddresses().first)
    try await withChannel(to: "ipv4:\(address)") { channel in
      let exchange = Exchange(try await V1.Client(channel).serverReflectionInfo())
      _ = try await exchange.ask(.listServices(""))
      server.shutDown()
      let error = await #expect(throws: RPCError.self) { _ = try await exchange.replies.next() }
      #expect(error?.code == .unavailable && error?.message == "the server is shutting down")
    }
    try await running
  }

  @Test("with of: it answers about services that are served elsewhere, beside its own server's")
  func elsewhere() async throws {
    let served: [any RPCService] = [HealthService(), Undescribed()]
    let reflection = ReflectionService(of: served)
    _ = GRPCServer(on: .tcp("127.0.0.1", 0), services: [reflection])
    var sent: Set<String> = []
    let reply = try reflection.answer(.with { $0.listServices = "" }, except: &sent)
    #expect(reply.listServicesResponse.service.map(\.name) == ReflectionServiceTests.all)
    let health = try reflection.answer(
      .with { $0.fileContainingSymbol = "grpc.health.v1.Health" }, except: &sent)
    #expect(health.fileDescriptorResponse.fileDescriptorProto.count == 1)
  }

  @Test("a channel within the process tells it of its services too")
  func inProcess() async throws {
    let channel = InProcessChannel([HealthService(), ReflectionService()])
    let exchange = Exchange(try await V1.Client(channel).serverReflectionInfo())
    let reply = try await exchange.ask(.listServices(""))
    #expect(reply.listServicesResponse.service.count == 3)
  }

  @Test("what is wrong with descriptors is reported with the server, once; a set must be one")
  func problems() throws {
    var other = Example.base
    other.package = "other"
    let sets = try [Example.files, [other]].map { files -> [UInt8] in
      try Google_Protobuf_FileDescriptorSet.with { $0.file = files }.serializedBytes()
    }
    let reflection = try ReflectionService(files: sets)
    let served = ServedServices(of: [reflection])
    let problems = reflection.serves(served)
    #expect(problems.count == 1)
    #expect(problems.first?.contains("descriptor set 0 and descriptor set 1") == true)
    #expect(reflection.serves(served) == [])
    let error = #expect(throws: DescriptorSetError.self) {
      try ReflectionService(files: [sets[0], [0xFF, 0xFF]])
    }
    #expect(error?.position == 1)
  }
}
