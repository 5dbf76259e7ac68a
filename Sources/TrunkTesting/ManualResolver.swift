// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import TrunkDiscovery
internal import TrunkSockets

/// A resolver whose results a test gives out: for channels under test, and for policies that need
/// endpoints to change.
///
/// ```swift
/// let resolver = ManualResolver([Endpoint(Address("127.0.0.1", 50051))])
/// let channel = try GRPCChannel(to: "manual:///orders", resolvers: [resolver])
/// resolver.report([])                       // every server is gone
/// resolver.fail("the registry is away")     // resolution fails
/// ```
///
/// One resolver may serve several channels: reports and failures go to all of them.
public final class ManualResolver: Resolver {
  /// `manual` unless chosen otherwise.
  public let scheme: String
  /// Zero: a channel's requests for a fresher result are seen at once.
  public var refreshInterval: Duration? { .zero }

  private struct State {
    var latest: Resolution?
    var failure: Failure?
    var runs: [UInt64: AsyncThrowingStream<Resolution, any Error>.Continuation] = [:]
    var lastRun: UInt64 = 0
    var refreshRequests = 0
    /// Yielded to at each request.
    var waiters: [UInt64: AsyncStream<Void>.Continuation] = [:]
    var lastWaiter: UInt64 = 0
  }
  private let state = Locked(State())

  /// - Parameters:
  ///   - scheme: in lower case.
  ///   - resolution: the first report of every run; nil: a run reports nothing until
  ///     `report`.
  public init(scheme: String = "manual", _ resolution: Resolution? = nil) {
    self.scheme = scheme
    state.withLock { $0.latest = resolution }
  }

  /// - Parameter endpoints: the first report of every run.
  public convenience init(scheme: String = "manual", _ endpoints: [Endpoint]) {
    self.init(scheme: scheme, Resolution(endpoints))
  }

  // MARK: The test's side

  /// Gives a result to every channel that uses the resolver, and to those that come later.
  public func report(_ resolution: Resolution) {
    let runs = state.withLock { state in
      state.latest = resolution
      state.failure = nil
      return Array(state.runs.values)
    }
    for run in runs { run.yield(resolution) }
  }

  /// A report of endpoints alone; empty: no server is known.
  public func report(_ endpoints: [Endpoint]) { report(Resolution(endpoints)) }

  /// Fails resolution: runs end with the error, and so does each later one (a channel tries again
  /// after its back-off) until the next `report`.
  public func fail(_ reason: String) {
    let failure = Failure(description: reason)
    let runs = state.withLock { state in
      state.failure = failure
      defer { state.runs = [:] }
      return Array(state.runs.values)
    }
    for run in runs { run.finish(throwing: failure) }
  }

  /// How many channels run it now.
  public var activeRuns: Int { state.withLock { $0.runs.count } }
  /// How often a channel has called it so far, failed runs included.
  public var runs: Int { Int(state.withLock { $0.lastRun }) }
  /// How often channels have asked for a fresher result so far.
  public var refreshRequests: Int { state.withLock { $0.refreshRequests } }

  /// Suspends until channels have asked for a fresher result `count` times so far.
  /// - Throws: `CancellationError`.
  public func waitForRefreshRequests(_ count: Int) async throws {
    let (requests, waiter) = AsyncStream.makeStream(
      of: Void.self, bufferingPolicy: .bufferingNewest(1))
    let number = state.withLock { state in
      state.lastWaiter += 1
      state.waiters[state.lastWaiter] = waiter
      return state.lastWaiter
    }
    defer { state.withLock { $0.waiters[number] = nil } }
    guard refreshRequests < count else { return }
    for await _ in requests where refreshRequests >= count { return }
    throw CancellationError()
  }

  private struct Failure: Error, CustomStringConvertible {
    let description: String
  }

  // MARK: The channel's side

  /// Reports what the test gives out until cancelled.
  /// - Throws: what ``fail(_:)`` says.
  public func resolve(_ target: Target, _ session: ResolverSession) async throws {
    let (results, run) = AsyncThrowingStream.makeStream(of: Resolution.self)
    let (number, latest) = try state.withLock { state throws -> (UInt64, Resolution?) in
      state.lastRun += 1
      if let failure = state.failure { throw failure }
      state.runs[state.lastRun] = run
      return (state.lastRun, state.latest)
    }
    defer { state.withLock { $0.runs[number] = nil } }
    // A report of now follows it in the stream.
    if let latest { session.report(latest) }
    try await withThrowingTaskGroup(of: Void.self) { group in
      defer { group.cancelAll() }
      group.addTask {
        while true {
          try await session.refreshRequested()
          let waiters = self.state.withLock { state in
            state.refreshRequests += 1
            return Array(state.waiters.values)
          }
          for waiter in waiters { waiter.yield() }
        }
      }
      for try await resolution in results { session.report(resolution) }
    }
    try Task.checkCancellation()
  }
}
