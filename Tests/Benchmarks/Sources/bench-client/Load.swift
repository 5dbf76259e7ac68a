// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import BenchStubs
import BenchSupport
import FoundationEssentials
import Glibc
import SwiftProtobuf
import Synchronization
import Trunkcall

struct Load: Sendable {
  var port: UInt16
  var callers: Int
  /// In all, or 0: for `seconds`.
  var calls: Int
  var seconds: Double
  var warmup: Int
  var size: Int
  var count: Int
  var endpoints: Int
  var loops: Int
  /// Microseconds.
  var busyPoll: Int
  /// Of each unary call.
  var timeout: Duration?
  /// Where callers run; nil: the global pool.
  var executor: OneThread?

  func channel() async throws -> GRPCChannel {
    var options = ChannelOptions()
    options.loops = loops
    options.busyPoll = .microseconds(busyPoll)
    options.maxReceiveMessageSize = 64 << 20
    let channel =
      if endpoints == 1 {
        try GRPCChannel(to: "passthrough:///127.0.0.1:\(port)", options: options)
      } else {
        try GRPCChannel(
          to: "fixed:///endpoints", resolvers: [FixedResolver(port: port, endpoints: endpoints)],
          balancer: "round_robin", options: options)
      }
    try await channel.ready(within: .seconds(20))
    // Ready is when one is: wait for the others too.
    while endpoints > 1, openDescriptors() < endpoints {
      try await Task.sleep(for: .milliseconds(5))
    }
    if endpoints > 1 { try await Task.sleep(for: .milliseconds(500)) }
    return channel
  }

  func unary(_ channel: any CallInvoker) async throws -> Result {
    _ = try await unary(channel, calls: max(callers, warmup), until: .max)
    let start = Mark()
    let latencies = try await unary(
      channel, calls: calls, until: now() + UInt64(calls > 0 ? 600e9 : seconds * 1e9))
    return Result(since: start, latencies)
  }

  private func unary(
    _ channel: any CallInvoker, calls: Int, until deadline: UInt64
  ) async throws -> Latencies {
    let each = calls > 0 ? max(1, calls / callers) : Int.max
    return try await withThrowingTaskGroup(of: Latencies.self) { group in
      for _ in 0..<callers {
        group.addTask(executorPreference: executor) {
          var greeter = Helloworld_Greeter.Client(channel)
          greeter.options.timeout = timeout
          let request = Helloworld_HelloRequest.with { $0.name = "world" }
          var latencies = Latencies(capacity: min(each, 1 << 16))
          var start = now()
          var done = 0
          while done < each, start < deadline {
            let reply = try await greeter.sayHello(request)
            guard reply.message == "Hello, world" else { stop("wrong reply \(reply.message)") }
            let end = now()
            latencies.add(end - start)
            start = end
            done += 1
          }
          return latencies
        }
      }
      var all = Latencies()
      for try await latencies in group { all.add(latencies) }
      return all
    }
  }

  func echo(_ channel: GRPCChannel) async throws -> Result {
    let client = Bench_Bench.Client(channel)
    let request = Bench_Payload.with {
      $0.body = Data((0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ 7) })
    }
    func once() async throws -> UInt64 {
      let start = now()
      let reply = try await client.echo(request)
      let end = now()
      guard reply == request else { stop("wrong reply") }
      return end - start
    }
    for _ in 0..<3 { _ = try await once() }
    let start = Mark()
    var latencies = Latencies()
    for _ in 0..<max(1, calls) { latencies.add(try await once()) }
    return Result(since: start, latencies, bytes: size * max(1, calls))
  }

  /// The unit is the message.
  func down(_ channel: GRPCChannel) async throws -> Result {
    let client = Bench_Bench.Client(channel)
    let expected = Bench_Payload.with { $0.body = Data(repeating: UInt8(ascii: "x"), count: size) }
    func once(_ count: Int) async throws {
      let replies = try await client.down(
        .with {
          $0.count = Int32(clamping: count)
          $0.size = Int32(clamping: size)
        })
      var received = 0
      for try await reply in replies {
        guard reply == expected else { stop("wrong message") }
        received += 1
      }
      guard received == count else { stop("\(received) messages of \(count)") }
    }
    try await once(max(1, count / 10))
    let start = Mark()
    try await once(count)
    return Result(since: start, Latencies(), units: count, bytes: count * size)
  }

  func pingPong(_ channel: GRPCChannel) async throws -> Result {
    let call = try await Bench_Bench.Client(channel).pingPong()
    let message = Bench_Payload.with { $0.body = Data(repeating: UInt8(ascii: "z"), count: size) }
    func once() async throws {
      try await call.requests.write(message)
      guard try await call.responses.next() == message else { stop("wrong message") }
    }
    for _ in 0..<200 { try await once() }
    let start = Mark()
    var latencies = Latencies(capacity: calls)
    for _ in 0..<max(1, calls) {
      let begin = now()
      try await once()
      latencies.add(now() - begin)
    }
    let result = Result(since: start, latencies)
    try await call.requests.finish()
    guard try await call.responses.next() == nil else { stop("a message too many") }
    return result
  }
}

/// Everyone's own loopback address, all of them the same server's.
struct FixedResolver: Resolver {
  let scheme = "fixed"
  let port: UInt16
  let endpoints: Int

  func resolve(_ target: Target, _ session: ResolverSession) async throws {
    session.report(
      Resolution(
        (0..<endpoints).map { Endpoint(Address("127.1.\($0 / 250).\($0 % 250 + 1)", port)) }))
    while true { try await session.refreshRequested() }
  }
}
