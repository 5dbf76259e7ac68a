// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import TrunkDiscovery
import TrunkSockets

@testable import TrunkConsul

/// A resolver at work, its reports in order.
final class Watching: Sendable {
  private let task: Task<Void, any Error>
  private let reports: AsyncStream<Resolution>
  private final class Kept: Sendable {
    let reports = Locked<[Resolution]>([])
  }
  private let kept = Kept()

  init(
    _ resolver: ConsulResolver, _ text: String,
    refresh: @escaping @Sendable () async throws -> Void = {
      try await Task.sleep(for: .seconds(600))
    }
  ) throws {
    let target = try Target.parse(text)
    let (stream, continuation) = AsyncStream.makeStream(of: Resolution.self)
    reports = stream
    let session = ResolverSession(
      onReport: { [kept] report in
        kept.reports.withLock { $0.append(report) }
        continuation.yield(report)
      }, onRefresh: refresh)
    task = Task {
      defer { continuation.finish() }
      try await resolver.resolve(target, session)
    }
  }
  deinit { task.cancel() }

  /// All reports so far.
  var all: [Resolution] { kept.reports.withLock { $0 } }

  /// The first report that is as wanted; once only after a nil. Nil if there is none in time.
  func report(
    within limit: Duration = .seconds(10), where wanted: @escaping @Sendable (Resolution) -> Bool
  ) async -> Resolution? {
    let reports = reports
    return await withTaskGroup(of: Resolution?.self) { group in
      group.addTask {
        for await report in reports where wanted(report) { return report }
        return nil
      }
      group.addTask {
        try? await Task.sleep(for: limit)
        return nil
      }
      let first = await group.next() ?? nil
      group.cancelAll()
      return first
    }
  }
  func next(within limit: Duration = .seconds(10)) async -> Resolution? {
    await report(within: limit) { _ in true }
  }

  /// Ends it and returns what it threw.
  func stop() async -> (any Error)? {
    task.cancel()
    do {
      try await task.value
      return nil
    } catch { return error }
  }
}

extension Resolution {
  var ports: [UInt16] {
    endpoints.compactMap { endpoint in
      if case .host(_, let port)? = endpoint.addresses.first { port } else { nil }
    }
  }
}

/// Instances as the agent's JSON.
func instances(_ ports: UInt16..., status: String = "passing") -> String {
  let entries = ports.map {
    #"{"Node":{"Node":"n","Address":"127.0.0.1","Datacenter":"dc1"},"Service":{"ID":"s\#($0)","#
      + #""Address":"127.0.0.1","Port":\#($0)},"Checks":[{"CheckID":"c","Status":"\#(status)"}]}"#
  }
  return "[\(entries.joined(separator: ","))]"
}
