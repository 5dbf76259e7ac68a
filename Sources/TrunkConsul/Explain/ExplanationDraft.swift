// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import FoundationEssentials
internal import TrunkDiscovery

/// An explanation while its requests are sent.
struct ExplanationDraft {
  let client: AgentClient
  private(set) var requests: [ConsulRequestExplanation] = []
  private(set) var instances: [ConsulInstanceExplanation] = []
  private(set) var unreadable: [String] = []
  private(set) var config: ConsulConfigExplanation?
  private(set) var advice: [String] = []
  /// At least one request had an answer, of whatever status.
  private(set) var isAnswered = false
  /// Why the first request without an answer had none.
  private(set) var problem: String?
  private var about: AgentAbout?
  private var latest: HTTPResponse?
  /// How many agents may still be asked instead of one that gives no answer.
  private var others: Int
  private static let timeout = Duration.seconds(5)
  private let end: ContinuousClock.Instant

  /// - Parameter limit: for all requests together; the rest is not asked.
  init(_ client: AgentClient, within limit: Duration = .seconds(60)) {
    end = .now + limit
    self.client = client
    others = client.places.count - 1
  }

  /// What may be used first; the parts of a plan stay in order. What one part uses is not shown as left
  /// out by another, and what several leave out is shown once.
  var sorted: [ConsulInstanceExplanation] {
    func key(_ instance: ConsulInstanceExplanation) -> [String?] {
      [instance.datacenter, instance.node, instance.id, instance.address]
    }
    let used = instances.filter(\.isUsed)
    var seen = Set(used.map(key))
    return used + instances.filter { !$0.isUsed && seen.insert(key($0)).inserted }
  }

  /// Sends the query, and one without health, tags, filter and node metadata.
  /// - Parameters:
  ///   - part: names the query, where there are several.
  ///   - watch: of this process for the query; nil: there is none.
  ///   - start: how many instances there were before those that come before this query's in order of
  ///     preference.
  mutating func explain(
    _ query: ConsulQuery, for part: String? = nil,
    watch: WatchTable<SharedWatches.Key, BlockingQuery.Snapshot>.Status?, after start: Int = 0
  ) async {
    let before = instances.count
    defer { for index in before..<instances.count { instances[index].part = part } }
    guard await fits(query) else { return }
    let answered = await answer(of: query)
    var asked = query
    var definition: PreparedDefinition?
    if query.kind == .prepared {
      definition = answered == nil ? nil : await self.definition(of: query)
      if let definition { asked = definition.query(like: query) }
    }
    var verdicts = InstanceVerdicts(
      query: asked, answered: answered, all: [], definition: definition)
    if query.kind != .prepared || definition != nil {
      var wide = asked
      (wide.tags, wide.nodeMeta, wide.filter, wide.near, wide.health) = ([], [], nil, nil, .any)
      // Instances that take no Connect connections are asked for as well.
      if asked.kind == .connect { wide.kind = .service }
      let all = await entries(.all, wide)
      let whole = latest
      verdicts.all = all ?? []
      if query.filter != nil, all != nil {
        wide.filter = query.filter
        verdicts.matching = (await entries(.filter, wide))
          .map { Set($0.map(InstanceMapping.instanceID)) }
      }
      if answered != nil, all?.isEmpty == true, unreadable.isEmpty, let whole {
        await adviseOnNothing(asked, whole)
      }
    }
    take(verdicts.verdicts, watch, after: start, failed: answered == nil)
  }

  /// The instances of the query's own answer; an answer that is too old is asked for again, as a watch
  /// does.
  private mutating func answer(of query: ConsulQuery) async -> [HealthEntry]? {
    let answered = await entries(.query, query)
    guard query.consistency == .stale, answered != nil, let bound = query.maxStale,
      let contact = requests.last?.lastContact, contact > bound
    else { return answered }
    advise(
      "the stale answer is older than max-stale, \(ConsulDuration.text(bound)): "
        + "the server that gave it may be cut off from its leader")
    var fresh = query
    fresh.consistency = .default
    return await entries(.leader, fresh) ?? answered
  }

  /// Adds the instances of one query, and those that a watch keeps beyond them.
  private mutating func take(
    _ verdicts: [InstanceVerdicts.Verdict],
    _ watch: WatchTable<SharedWatches.Key, BlockingQuery.Snapshot>.Status?, after start: Int,
    failed: Bool
  ) {
    let isStandby = instances.dropFirst(start).contains { $0.use == .used || $0.use == .kept }
    let holds = watch?.record.facts.holds.kinds ?? []
    let keeps = holds.contains { $0 != .panicHold }
    var kept: [String: Endpoint] = [:]
    for endpoint in watch?.latest?.endpoints ?? [] { kept[endpoint.instanceKey] = endpoint }
    var lastResort: [String: Endpoint] = [:]
    for endpoint in watch?.latest?.lastResort ?? [] { lastResort[endpoint.instanceKey] = endpoint }
    func keep(_ instance: inout ConsulInstanceExplanation, as use: ConsulInstanceExplanation.Use) {
      instance.use = use
      instance.holds = holds.filter { ($0 == .panicHold) == (use == .lastResort) }
    }
    for verdict in verdicts {
      let key = verdict.key
      var instance = verdict.instance
      let endpoint = (kept.removeValue(forKey: key), lastResort.removeValue(forKey: key))
      if instance.isUsed {
        if isStandby { instance.use = .standby }
      } else if keeps, endpoint.0 != nil {
        keep(&instance, as: .kept)
      } else if endpoint.1 != nil {
        keep(&instance, as: .lastResort)
      }
      instances.append(instance)
    }
    let why =
      !failed ? "it is not registered" : isAnswered ? "the query failed" : "Consul cannot be asked"
    let beyond: [([String: Endpoint], ConsulInstanceExplanation.Use)] = [
      (keeps ? kept : [:], .kept), (lastResort, .lastResort),
    ]
    for (endpoints, use) in beyond {
      for key in endpoints.keys.sorted() {
        guard let endpoint = endpoints[key] else { continue }
        var instance = ConsulInstanceExplanation(endpoint, why)
        keep(&instance, as: use)
        instances.append(instance)
      }
    }
  }

  mutating func explain(_ query: ConfigQuery) async {
    var explanation = ConsulConfigExplanation(key: query.key, state: .unknown, reason: "")
    defer { config = explanation }
    guard let answer = await send(.config, query.request(index: nil, wait: nil), missing: 404)
    else {
      explanation.reason = requests.last?.outcome ?? problem ?? ""
      return
    }
    explanation.index = PollSchedule.index(answer.headers["x-consul-index"])
    var reader = ConfigReader(query.key)
    do throws(ConsulError) {
      let value = try client.value(of: answer)
      let read = reader.read(ConfigWatchState.Snapshot(.some(value))).snapshot
      explanation.state = read.error != nil ? .invalid : read.config != nil ? .valid : .none
      explanation.reason = read.error.map { "\($0)" } ?? read.note
      requests[requests.count - 1].outcome = value.map { "\($0.count) bytes" } ?? "404 no such key"
    } catch {
      explanation.reason = error.reason
      requests[requests.count - 1].outcome = error.reason
    }
  }

  mutating func version() async -> String? {
    if let about { return about.version }
    guard let answer = await send(.agent, HTTPRequest(.get, "v1", "agent", "self")) else {
      return nil
    }
    let about = AgentClient.about(answer)
    self.about = about
    requests[requests.count - 1].outcome = about.version.map { "Consul \($0)" } ?? "no version"
    return about.version
  }

  /// Whether the agent knows the query's parameters: the resolver does not ask one that does not.
  private mutating func fits(_ query: ConsulQuery) async -> Bool {
    guard let (least, parameter) = query.leastVersion, let version = await version(),
      let present = ConsulVersion(version), present < least
    else { return true }
    advise(
      "not asked: \(parameter) needs Consul \(least), the agent is \(version) and would ignore it")
    return false
  }

  /// What a prepared query asks for; nil if it cannot be read.
  private mutating func definition(of query: ConsulQuery) async -> PreparedDefinition? {
    var request = HTTPRequest(.get, "v1", "query", query.service, "explain")
    if let datacenter = query.datacenter { request.addQuery("dc", datacenter) }
    guard let answer = await send(.definition, request, query) else { return nil }
    let definition = try? JSONDecoder().decode(
      PreparedDefinition.self, from: Data(answer.body))
    requests[requests.count - 1].outcome = definition?.text ?? "no definition that can be read"
    return definition
  }

  // MARK: Requests

  /// The instances of an answer; nil if there are none to read.
  private mutating func entries(
    _ purpose: ConsulRequestExplanation.Purpose, _ query: ConsulQuery
  ) async -> [HealthEntry]? {
    let request = query.request(index: nil, wait: nil)
    guard let answer = await send(purpose, request, query) else { return nil }
    do throws(ConsulError) {
      let found = try client.explainedEntries(
        of: answer, isPrepared: query.kind == .prepared)
      let count = found.entries.count + found.unreadable.count
      let place = found.failedOverTo.map { ", failed over to \($0)" } ?? ""
      requests[requests.count - 1].outcome =
        "\(count) \(count == 1 ? "instance" : "instances")\(place)"
      for entry in found.unreadable where !unreadable.contains(entry) { unreadable.append(entry) }
      return found.entries
    } catch {
      requests[requests.count - 1].outcome = error.reason
      advise("another program than Consul may listen at \(client.name)")
      return nil
    }
  }

  /// - Parameters:
  ///   - query: for the advice, and the consistency that it asks for.
  ///   - missing: a status that is an answer as well.
  /// - Returns: nil without an answer of 2xx; nothing is sent after one request that had none at all.
  mutating func send(
    _ purpose: ConsulRequestExplanation.Purpose, _ request: HTTPRequest,
    _ query: ConsulQuery? = nil, missing: Int? = nil
  ) async -> HTTPResponse? {
    guard isAnswered || problem == nil, !Task.isCancelled else { return nil }
    let left = end - .now
    guard left > .zero else {
      advise("not everything was asked: Consul's answers took too long")
      return nil
    }
    let asked = client.current
    var shown = ConsulRequestExplanation(
      purpose: purpose, method: request.method.rawValue, path: request.requestTarget, outcome: "")
    do {
      let (answer, place) = try await client.exchange(
        request, timeout: min(left, ExplanationDraft.timeout), mayRepeat: true)
      isAnswered = true
      shown.take(answer)
      // Older agents do not say in which mode they answered.
      if shown.consistency == nil { shown.consistency = query?.consistency.rawValue }
      if !shown.succeeded, answer.status != missing { throw client.refusal(answer, by: place) }
      requests.append(shown)
      latest = answer
      return answer
    } catch {
      let reason = client.places.count > 1 ? nil : (error as? ConsulError)?.reason
      shown.outcome = reason ?? "\(error)"
      requests.append(shown)
      if !isAnswered, client.current != asked, others > 0 {
        others -= 1
        return await send(purpose, request, query, missing: missing)
      }
      if !isAnswered { problem = "\(error)" }
      if let error = error as? ConsulError { await advise(on: error, purpose, query) }
      return nil
    }
  }

  mutating func advise(_ text: String) {
    if !advice.contains(text) { advice.append(text) }
  }

  /// What came of the last request, in other words.
  mutating func describeLast(_ text: String) { requests[requests.count - 1].outcome = text }

  /// - Parameter answer: without an instance.
  func hidden(_ answer: HTTPResponse) async -> InstanceCounts.Hidden? {
    (try? await client.hides(answer, timeout: ExplanationDraft.timeout)) ?? nil
  }
}

extension ConsulInstanceExplanation {
  /// One that a watch keeps and that Consul's answer does not have at all.
  fileprivate init(_ endpoint: Endpoint, _ why: String) {
    let attributes = endpoint.attributes
    self.init(
      id: attributes["consul.service-id"] ?? endpoint.instanceKey,
      node: attributes["consul.node"] ?? "", datacenter: attributes["consul.datacenter"],
      address: endpoint.addresses.first?.description ?? "",
      health: attributes["consul.health"] ?? "", checks: [], weight: Int(endpoint.weight),
      tags: attributes["consul.tags"].map { $0.split(separator: ",").map(String.init) } ?? [],
      use: .kept, reasons: [why])
  }
}

extension ConsulRequestExplanation {
  fileprivate mutating func take(_ answer: HTTPResponse) {
    let info = AnswerInfo(answer.headers)
    status = answer.status
    index = PollSchedule.index(answer.headers["x-consul-index"])
    knowsLeader = info.knowsLeader
    lastContact = info.lastContact
    age = info.age
    cache = info.cache
    backend = info.backend
    consistency = info.consistency
    isFilteredByACLs = info.isFiltered
    defaultPolicy = info.defaultPolicy
  }
}
