// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
private import FoundationEssentials
internal import Synchronization
private import TrunkSockets

/// What a ``ScriptedConsulAgent`` knows of services: it answers blocking queries as an agent does, and wrongly
/// where a test says so.
///
///     let catalogue = ScriptedConsulCatalogue()
///     catalogue.set([.init("a", "127.0.0.1", 50_051)], of: "orders")
///     let agent = try await ScriptedConsulAgent.start(catalogue)
///     defer { agent.stop() }
///     // … a channel to "consul://\(agent.address)/orders"; then:
///     catalogue.answer(.noLeader, next: 3)
///
/// It knows `/v1/health/service/:name` with `passing`, `tag`, `index` and `wait`, and answers all else with 404.
public final class ScriptedConsulCatalogue: Sendable {
  /// One instance of a service.
  public struct Instance: Sendable, Hashable {
    /// The state of its only check.
    public enum Status: String, Sendable, Hashable { case passing, warning, critical }
    /// Unique.
    public var id: String
    /// As others connect to it.
    public var address: String
    /// 0: the instance has none.
    public var port: UInt16
    /// Default: passing.
    public var status: Status
    /// Default: none.
    public var tags: [String]
    /// Default: none.
    public var meta: [String: String]
    /// The weights while passing and while warning. Default: 1 and 1.
    public var weights: (passing: Int, warning: Int) {
      get { (passingWeight, warningWeight) }
      set { (passingWeight, warningWeight) = newValue }
    }
    /// Whether an operator, or a server that drains, has taken it out. Default: false.
    public var isInMaintenance = false
    private var passingWeight = 1
    private var warningWeight = 1

    /// - Parameters: see the properties of the same names.
    public init(
      _ id: String, _ address: String, _ port: UInt16, status: Status = .passing,
      tags: [String] = [], meta: [String: String] = [:]
    ) {
      self.id = id
      self.address = address
      self.port = port
      self.status = status
      self.tags = tags
      self.meta = meta
    }
  }

  private struct State {
    var services: [String: [Instance]] = [:]
    var index: UInt64 = 10
    /// Changes with each event that ends a blocking query.
    var event: UInt64 = 0
    var reactions: [ScriptedConsulAgent.Reaction] = []
    var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
    var nextWaiter: UInt64 = 0
  }
  private let state = Locked(State())
  private let clock: any _Concurrency.Clock<Duration>

  /// - Parameter clock: by which the `wait` of blocking queries ends; the system's by default.
  public init(clock: any _Concurrency.Clock<Duration> = ContinuousClock()) { self.clock = clock }

  /// `X-Consul-Index` of the next answer. Set it lower, or to zero, to see what a watch makes of it; it does
  /// not wake blocking queries.
  public var index: UInt64 {
    get { state.withLock { $0.index } }
    set { state.withLock { $0.index = newValue } }
  }

  /// Replaces the instances of a service, raises the index and wakes the queries.
  public func set(_ instances: [Instance], of service: String) {
    wake { state in
      state.services[service] = instances
      state.index &+= 1
    }
  }

  /// Ends all blocking queries without a change (Consul, Blocking Queries: spurious wake-ups).
  public func wake() { wake { _ in } }

  /// The next `count` queries, those that block included, are answered with this instead.
  public func answer(_ reaction: ScriptedConsulAgent.Reaction, next count: Int = 1) {
    wake { $0.reactions += Array(repeating: reaction, count: max(0, count)) }
  }

  private func wake(_ change: (inout State) -> Void) {
    let waiters = state.withLock { state in
      change(&state)
      state.event += 1
      defer { state.waiters = [:] }
      return state.waiters.values
    }
    for waiter in waiters { waiter.resume() }
  }

  // MARK: Answers

  /// The script of an agent that answers from this, see ``ScriptedConsulAgent``.
  public nonisolated(nonsending) func react(
    to request: ScriptedConsulAgent.Request
  ) async -> ScriptedConsulAgent.Reaction {
    let prefix = "/v1/health/service/"
    guard request.path.hasPrefix(prefix) else { return .answer(404) }
    let service = ScriptedConsulAgent.decode(String(request.path.dropFirst(prefix.count)))
    let (seen, isCurrent) = state.withLock { state in
      (state.event, request["index"] == String(state.index) && state.reactions.isEmpty)
    }
    if isCurrent { await wait(beyond: seen, for: request["wait"]) }
    return state.withLock { state in
      guard state.reactions.isEmpty else { return state.reactions.removeFirst() }
      let tags = request.query.filter { $0.name == "tag" }.map(\.value)
      let isPassing = request["passing"] != nil
      let instances = (state.services[service] ?? []).filter { instance in
        tags.allSatisfy(instance.tags.contains) && (!isPassing || instance.isPassing)
      }
      return .json(Instance.json(instances, service), index: state.index)
    }
  }

  /// Until the next event, or until the wait is over.
  private func wait(beyond seen: UInt64, for text: String?) async {
    // As this library sends it; else Consul's default.
    let wait = text.flatMap { $0.hasSuffix("ms") ? Int64($0.dropLast(2)) : nil } ?? 300_000
    await withTaskGroup(of: Void.self) { group in
      group.addTask { try? await self.clock.sleep(for: .milliseconds(wait)) }
      group.addTask { await self.next(after: seen) }
      await group.next()
      group.cancelAll()
    }
  }

  private func next(after seen: UInt64) async {
    let id = state.withLock { state in
      defer { state.nextWaiter += 1 }
      return state.nextWaiter
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isOver = state.withLock { state in
          guard state.event == seen, !Task.isCancelled else { return true }
          state.waiters[id] = continuation
          return false
        }
        if isOver { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.waiters.removeValue(forKey: id) }?.resume()
    }
  }
}

extension ScriptedConsulCatalogue.Instance {
  fileprivate var isPassing: Bool { status == .passing && !isInMaintenance }

  /// As the agent writes it (Consul, Health API).
  fileprivate static func json(_ instances: [Self], _ service: String) -> String {
    let entries = instances.map { instance in
      var checks = [check("service:\(instance.id)", instance.status, "scripted")]
      if instance.isInMaintenance {
        checks.append(check("_service_maintenance:\(instance.id)", .critical, "scripted"))
      }
      let weights: JSON = [
        "Passing": .number(instance.weights.passing), "Warning": .number(instance.weights.warning),
      ]
      return [
        "Node": ["Node": "scripted", "Address": "127.0.0.1", "Datacenter": "dc1"],
        "Service": [
          "ID": .text(instance.id), "Service": .text(service),
          "Tags": .list(instance.tags.map(JSON.text)), "Address": .text(instance.address),
          "Port": .number(Int(instance.port)), "Meta": .object(instance.meta.mapValues(JSON.text)),
          "Weights": weights,
        ], "Checks": .list(checks),
      ] as JSON
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    return (try? encoder.encode(entries)).map { String(decoding: $0, as: UTF8.self) } ?? "[]"
  }

  private static func check(_ id: String, _ status: Status, _ output: JSON) -> JSON {
    ["CheckID": .text(id), "Status": .text(status.rawValue), "Output": output]
  }
}

private enum JSON: Encodable, ExpressibleByStringLiteral, ExpressibleByDictionaryLiteral {
  case text(String)
  case number(Int)
  case list([JSON])
  case object([String: JSON])

  init(stringLiteral text: String) { self = .text(text) }
  init(dictionaryLiteral elements: (String, JSON)...) {
    self = .object(Dictionary(elements) { _, last in last })
  }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch self {
    case .text(let text): try container.encode(text)
    case .number(let number): try container.encode(number)
    case .list(let list): try container.encode(list)
    case .object(let object): try container.encode(object)
    }
  }
}

extension ScriptedConsulAgent {
  /// Answers from a catalogue.
  /// - Parameter port: 0 for a free one.
  public static func start(
    port: UInt16 = 0, _ catalogue: ScriptedConsulCatalogue
  ) async throws -> ScriptedConsulAgent {
    try await start(port: port) { await catalogue.react(to: $0) }
  }
}
