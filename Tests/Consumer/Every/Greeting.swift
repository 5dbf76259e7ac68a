// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
//
// Compiled in every target of the consumer package, as a user would write it: a service, a server
// on a socket, and a client with a resolver, a balancer, interceptors and credentials of its own.
import SwiftProtobuf
import TrunkServices
import Trunkcall

#if STUBS_APART
  import ConsumerStubs
#endif

struct Greeter: Consumer_Greeter.Service {
  func sayHello(
    _ request: Consumer_HelloRequest, _ call: ServerCall
  ) async throws -> Consumer_HelloReply {
    guard !request.name.isEmpty else { throw RPCError(.invalidArgument, "no name") }
    try call.addInitialMetadata(["x-first": "1"])
    try call.addTrailingMetadata(["x-last": "2"])
    return .with { $0.message = "Hello \(request.name)" }
  }

  func sayHellos(
    _ request: Consumer_HelloRequest, _ responses: MessageWriter<Consumer_HelloReply>,
    _ call: ServerCall
  ) async throws {
    for _ in 0..<request.times {
      try await responses.write(.with { $0.message = "Hello \(request.name)" })
    }
  }

  func sayHelloToAll(
    _ requests: RequestStream<Consumer_HelloRequest>, _ call: ServerCall
  ) async throws -> Consumer_HelloReply {
    var names: [String] = []
    for try await request in requests { names.append(request.name) }
    try call.addTrailingMetadata(["x-last": "2"])
    return .with { $0.message = "Hello " + names.joined(separator: ", ") }
  }

  func chat(
    _ requests: RequestStream<Consumer_HelloRequest>,
    _ responses: MessageWriter<Consumer_HelloReply>, _ call: ServerCall
  ) async throws {
    for try await request in requests {
      try await responses.write(.with { $0.message = "Hello \(request.name)" })
    }
  }
}

struct WrongGreeting: Error, CustomStringConvertible {
  let description: String
  init(_ got: String, _ line: Int = #line) { description = "line \(line): got \(got)" }
}

/// From a server on a socket to its answers.
public func greet() async throws {
  let server = GRPCServer(
    on: .tcp("127.0.0.1", 0), services: [Greeter(), ByHand(), HealthService()],
    interceptors: [WantsToken()])
  let running = Task { try await server.run() }
  guard case .host(_, let port)? = try await server.listeningAddresses().first else {
    throw WrongGreeting("no address")
  }
  var balancers = BalancerRegistry()
  balancers.register(LeastLoaded.self)
  var options = ChannelOptions()
  options.credentials = [Token(value: "open")]
  try await withChannel(
    to: "renamed:///127.0.0.1",
    resolvers: [Renamed(inner: LabResolver { _ in [port] })], balancers: balancers,
    balancer: "least_loaded", interceptors: [Stamp(), Watch()], options: options
  ) { channel in
    try await greet(over: channel)
    let echo = try await channel.unary(ByHand.echo, [1, 2])
    let all = try await channel.bidirectional(ByHand.all)
    try await all.requests.write([3])
    try await all.requests.finish()
    let next = try await all.responses.next()
    guard echo == [1, 2], next == [3] else { throw WrongGreeting("\(echo)") }
  }
  server.shutDown()
  try await running.value
}

/// The same without a network.
public func greetInProcess() async throws {
  try await greet(over: InProcessChannel([Greeter()]))
}

func greet(over channel: any CallInvoker) async throws {
  var greeter = Consumer_Greeter.Client(channel)
  greeter.options.timeout = .seconds(10)
  let request = Consumer_HelloRequest.with { $0.name = "world" }

  let message = try await greeter.sayHello(request).message
  guard message == "Hello world" else { throw WrongGreeting(message) }

  let response = try await greeter.sayHelloResponse(request)
  guard response.message.message == "Hello world", response.initialMetadata["x-first"] == "1",
    response.trailingMetadata["x-last"] == "2", !response.peer.isEmpty
  else { throw WrongGreeting("\(response)") }

  var count = 0
  for try await one in try await greeter.sayHellos(
    .with {
      $0.name = "b"; $0.times = 3
    })
  {
    guard one.message == "Hello b" else { throw WrongGreeting(one.message) }
    count += 1
  }
  guard count == 3 else { throw WrongGreeting("\(count)") }

  let all = try await greeter.sayHelloToAll()
  for name in ["a", "b"] { try await all.requests.write(.with { $0.name = name }) }
  let ofAll = try await all.unaryResponse()
  guard ofAll.message.message == "Hello a, b", ofAll.trailingMetadata["x-last"] == "2" else {
    throw WrongGreeting("\(ofAll)")
  }

  let chat = try await greeter.chat()
  try await chat.requests.write(request)
  try await chat.requests.finish()
  for try await one in chat.responses where one.message != "Hello world" {
    throw WrongGreeting(one.message)
  }

  do {
    _ = try await greeter.sayHello(Consumer_HelloRequest())
    throw WrongGreeting("no error")
  } catch let error as RPCError {
    guard error.code == .invalidArgument else { throw error }
  }

  // Typed: the error is an RPCError without a cast.
  do {
    _ = try await greeter.sayHello(Consumer_HelloRequest())
  } catch {
    guard error.code == .invalidArgument, error.message == "no name" else { throw error }
  }

  // What swift-protobuf has by default is there, although Trunkcall asks for less of it.
  var masked = Consumer_HelloRequest()
  try masked.merge(from: request, fieldMask: Google_Protobuf_FieldMask(protoPaths: "name"))
  guard masked.name == "world" else { throw WrongGreeting("\(masked)") }
}
