// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import InteropStubs
internal import SwiftProtobuf
internal import Trunkcall

/// The `--soak_…` flags of the official client, with its defaults.
public struct SoakOptions: Sendable {
  /// Calls in all.
  public var iterations = 10
  /// Failures beyond which the case fails; an iteration that is too slow counts as one.
  public var maxFailures = 0
  /// Longest allowed time of one iteration.
  public var maxLatency: Duration = .milliseconds(1_000)
  /// Limit of all iterations together; nil: `iterations` times `maxLatency`.
  public var overallTimeout: Duration?
  /// From the start of one iteration of a thread to the start of its next.
  public var minTimeBetweenCalls: Duration = .zero
  /// Payload of a request in bytes.
  public var requestSize = Caller.largeRequest
  /// Payload of a response in bytes.
  public var responseSize = Caller.largeResponse
  /// Tasks that share the iterations.
  public var threads = 1

  /// The official client's defaults.
  public init() {}
}

extension InteropClient {
  /// All iterations over one channel.
  func rpcSoak(_ caller: Caller) async throws {
    try await soak { options in try await iteration(Caller(caller.channel, options)) }
  }

  /// A new channel for every iteration.
  func channelSoak() async throws {
    try await soak { options in
      let channel = try connect()
      do {
        let peer = try await iteration(Caller(channel, options))
        await channel.close()
        return peer
      } catch {
        await channel.close()
        throw error
      }
    }
  }

  /// - Returns: the server's address.
  private func iteration(_ caller: Caller) async throws -> String {
    let request = Grpc_Testing_SimpleRequest.with {
      $0.responseSize = Int32(clamping: soak.responseSize)
      $0.payload = Caller.payload(soak.requestSize)
    }
    let response = try await caller.channel.unaryResponse(
      Grpc_Testing_TestService.Methods.unaryCall, request, caller.options)
    try Caller.check(response.message.payload, soak.responseSize, "the response")
    return response.peer
  }

  private struct Counts: Sendable {
    var latencies: [Duration] = []
    var failures = 0
    var lastFailure = ""
  }

  private func soak(
    _ body: @escaping @Sendable (CallOptions) async throws -> String
  ) async throws {
    let threads = max(1, min(soak.threads, soak.iterations))
    let end = ContinuousClock.now + (soak.overallTimeout ?? soak.maxLatency * soak.iterations)
    let counts = try await withThrowingTaskGroup(of: Counts.self) { group in
      for thread in 0..<threads {
        let share = soak.iterations / threads + (thread < soak.iterations % threads ? 1 : 0)
        group.addTask { try await work(share, until: end, body) }
      }
      return try await group.reduce(into: Counts()) { sum, part in
        sum.latencies += part.latencies
        sum.failures += part.failures
        if part.failures > 0 { sum.lastFailure = part.lastFailure }
      }
    }
    report(counts)
    try check(
      counts.latencies.count == soak.iterations,
      "\(counts.latencies.count) of \(soak.iterations) iterations were done when the time was over")
    try check(
      counts.failures <= soak.maxFailures,
      "\(counts.failures) iterations failed, \(soak.maxFailures) may; the last: \(counts.lastFailure)"
    )
  }

  private func work(
    _ iterations: Int, until end: ContinuousClock.Instant,
    _ body: @Sendable (CallOptions) async throws -> String
  ) async throws -> Counts {
    var counts = Counts()
    for _ in 0..<iterations {
      let start = ContinuousClock.now
      guard start < end else { break }
      var options = options
      options.timeout = min(options.timeout ?? end - start, end - start)
      var failure: String?
      var peer = "nobody"
      do {
        peer = try await body(options)
      } catch {
        failure = "\(error)"
      }
      let latency = ContinuousClock.now - start
      if failure == nil, latency > soak.maxLatency {
        failure = "it took \(latency), \(soak.maxLatency) are allowed"
      }
      counts.latencies.append(latency)
      if let failure {
        counts.failures += 1
        counts.lastFailure = failure
        report("iteration failed after \(latency) at \(peer): \(failure)")
      }
      if soak.minTimeBetweenCalls > .zero {
        try await Task.sleep(until: start + soak.minTimeBetweenCalls)
      }
    }
    return counts
  }

  private func report(_ counts: Counts) {
    let sorted = counts.latencies.sorted()
    guard !sorted.isEmpty else { return }
    func at(_ permille: Int) -> Duration { sorted[(sorted.count - 1) * permille / 1_000] }
    report(
      "\(sorted.count) iterations, \(counts.failures) failed; latency: median \(at(500)), "
        + "90th \(at(900)), 99th \(at(990)), highest \(at(1_000))")
  }
}
