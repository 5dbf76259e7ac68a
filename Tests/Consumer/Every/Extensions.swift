// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
//
// One of each kind that users write themselves, spelled as Swift's default settings suggest.
import Trunkcall

/// A client's interceptor.
struct Stamp: ClientInterceptor {
  func intercept(
    _ call: CallRequest, _ next: Next
  ) async throws(RPCError) -> any ClientStream {
    var call = call
    call.options.metadata.add("stamped", for: "x-stamp")
    return try await next(call)
  }
}

/// A stream that an interceptor puts around the real one, to see messages and the end.
final class Watched: ClientStream {
  private let stream: any ClientStream
  private let seen: @Sendable (_ bytes: Int) -> Void

  init(_ stream: any ClientStream, _ seen: @escaping @Sendable (_ bytes: Int) -> Void) {
    self.stream = stream
    self.seen = seen
  }
  func next() async throws(RPCError) -> [UInt8]? {
    let message = try await stream.next()
    seen(message?.count ?? 0)
    return message
  }
  func send(_ frame: [UInt8]) async throws(RPCError) { try await stream.send(frame) }
  func finish() async throws(RPCError) { try await stream.finish() }
  func initialMetadata() async throws(RPCError) -> Metadata { try await stream.initialMetadata() }
  func trailingMetadata() async -> Metadata { await stream.trailingMetadata() }
  func peer() async -> String? { await stream.peer() }
  func cancel() { stream.cancel() }
}

struct Watch: ClientInterceptor {
  func intercept(
    _ call: CallRequest, _ next: ClientInterceptor.Next
  ) async throws(RPCError) -> any ClientStream {
    Watched(try await next(call)) { _ in }
  }
}

/// A server's interceptor.
struct WantsToken: ServerInterceptor {
  func intercept(
    _ call: ServerCall, _ requests: any MessageSource, _ responses: any MessageSink,
    _ next: ServerInterceptor.Next
  ) async throws {
    guard call.metadata["authorization"] == "open", call.metadata["x-stamp"] == "stamped" else {
      throw RPCError(.unauthenticated, "no token")
    }
    try await next(call, requests, Counting(responses))
  }
}

/// A sink of its own between handler and transport.
final class Counting: MessageSink {
  private let sink: any MessageSink
  init(_ sink: any MessageSink) { self.sink = sink }
  func send(_ frame: [UInt8]) async throws(RPCError) { try await sink.send(frame) }
}

struct Token: CallCredentials {
  let value: String
  var allowsPlaintext: Bool { true }
  func metadata(for call: CallCredentialsRequest) async throws -> Metadata {
    ["authorization": value]
  }
}

struct LabResolver: Resolver {
  let scheme = "lab"
  let ports: @Sendable (_ host: String) async throws -> [UInt16]

  init(_ ports: @escaping @Sendable (_ host: String) async throws -> [UInt16]) {
    self.ports = ports
  }

  func resolve(_ target: Target, _ session: ResolverSession) async throws {
    while true {
      let ports = try await ports(target.endpoint)
      session.report(Resolution(ports.map { Endpoint(Address(target.endpoint, $0)) }))
      try await session.refreshRequested()
    }
  }
}

struct LeastLoaded: PickPolicy {
  static let name = "least_loaded"
  let ready: [ReadySubchannel]
  init(_ ready: [ReadySubchannel]) { self.ready = ready }
  mutating func pick(_ call: borrowing PickContext) -> ReadySubchannel {
    ready.min { $0.callsInFlight < $1.callsInFlight } ?? ready[0]
  }
}

/// A channel of its own.
struct Recording: CallInvoker {
  let channel: any CallInvoker
  func unary(_ call: CallRequest, _ frame: [UInt8]) async throws(RPCError) -> CallResponse {
    try await channel.unary(call, frame)
  }
  func stream(_ call: CallRequest) async throws(RPCError) -> any ClientStream {
    try await channel.stream(call)
  }
}

/// A service without a .proto: a closure, and a function by its name.
struct ByHand: RPCService {
  static let echo = MethodDescriptor<[UInt8], [UInt8]>(
    service: "consumer.ByHand", method: "Echo", request: .bytes, response: .bytes)
  static let all = MethodDescriptor<[UInt8], [UInt8]>(
    service: "consumer.ByHand", method: "All", request: .bytes, response: .bytes)

  func register(in table: inout MethodTable) {
    table.unary(ByHand.echo) { request, call in
      try await Task.sleep(for: .microseconds(call.path.isEmpty ? 1 : 0))
      return request
    }
    table.bidirectional(ByHand.all, forward)
  }

  func forward(
    _ requests: RequestStream<[UInt8]>, _ responses: MessageWriter<[UInt8]>, _ call: ServerCall
  ) async throws {
    for try await request in requests { try await responses.write(request) }
  }
}

/// Something that stops with a server.
final class Reporter: LongRunning {
  let stops: AsyncStream<Void>
  let stop: AsyncStream<Void>.Continuation
  init() { (stops, stop) = AsyncStream.makeStream(of: Void.self) }
  func run() async throws {
    for await _ in stops {}
  }
  func shutDown() { stop.finish() }
}

/// Hands a resolver's answers on, as a resolver that wraps another one does.
struct Renamed: Resolver {
  let scheme = "renamed"
  let inner: any Resolver
  func resolve(_ target: Target, _ session: ResolverSession) async throws {
    try await inner.resolve(
      target,
      session.mapping { resolution in
        var renamed = resolution
        renamed.note = "renamed: \(resolution.note ?? "")"
        return renamed
      })
  }
}

func security(_ names: [String]) -> (ChannelSecurity, ServerSecurity) {
  (
    .tls(
      ClientTLS(
        trust: .file("ca.pem"),
        verify: { peer in
          guard peer.dnsNames.contains(where: names.contains) else {
            throw RPCError(.permissionDenied, "not you")
          }
        })),
    .tls(
      ServerTLS(
        .files(certificates: "server.pem", privateKey: "server.key"),
        clientCertificates: .required(.file("ca.pem")),
        verify: SPIFFE.expecting("spiffe://lab.example/client")))
  )
}
