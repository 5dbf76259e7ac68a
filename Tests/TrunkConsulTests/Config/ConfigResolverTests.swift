// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery
import TrunkSockets
import TrunkTesting

@testable import TrunkConsul

private func kv(_ value: String, index: UInt64) -> ScriptedConsulAgent.Reaction {
  .json(#"[{"Key": "k", "Value": "\#(value)"}]"#, index: index)
}

@Suite("The consul resolver with a config", .timeLimit(.minutes(1))) struct ConfigResolverTests {
  private let round = "eyJsb2FkQmFsYW5jaW5nUG9saWN5IjogInJvdW5kX3JvYmluIn0="  // round_robin

  private func watching(
    _ agent: ScriptedConsulAgent, _ watches: SharedWatches = SharedWatches(), _ log: Log = Log(),
    _ rest: String = "x?config=kv:k"
  ) throws -> Watching {
    var options = ConsulOptions(agent: ConsulAgent("127.0.0.1:1"))
    options.logger = log.logger
    return try Watching(
      ConsulResolver(options, watches: watches), "consul://\(agent.address)/\(rest)")
  }

  @Test("instances come with the config; a change of it is reported, one bad value is one warning")
  func follows() async throws {
    // A value that is replaced at once may be skipped: the next one comes when this one was seen.
    let seen = Locked(false)
    let agent = try await ScriptedConsulAgent.start { request in
      guard request.path == "/v1/kv/k" else {
        return request["index"] == nil ? .json(instances(1), index: 5) : .hang
      }
      switch request["index"] {
      case nil: return kv("e30=", index: 10)
      case "10": return kv(self.round, index: 11)
      case "11":
        _ = try? await eventually { seen.withLock { $0 } }
        return kv("e30s", index: 12)
      case "12": return kv("e30s", index: 13)
      default: return .hang
      }
    }
    defer { agent.stop() }
    let log = Log()
    let watching = try watching(agent, SharedWatches(), log)
    let changed = await watching.report { $0.serviceConfig?.balancer == "round_robin" }
    seen.withLock { $0 = true }
    #expect(changed?.ports == [1])
    #expect(
      changed?.note == "consul \(agent.address): 1 instance, 1 passing; config from kv:k")
    let bad = await watching.report { $0.serviceConfigError != nil }
    #expect(bad?.serviceConfigError?.path.hasPrefix("kv:k") == true)
    #expect(try await eventually { agent.requests.contains { $0["index"] == "13" } })
    #expect(log.lines.filter { $0.hasPrefix("warning") }.count == 1)
    #expect(agent.requests.filter { $0.path == "/v1/kv/k" }.count == 5)
  }

  @Test("a config that the agent does not answer holds the first instances back for a second only")
  func silent() async throws {
    let agent = try await ScriptedConsulAgent.start { request in
      if request.path == "/v1/kv/k" { return .hang }
      return request["index"] == nil ? .json(instances(1), index: 5) : .hang
    }
    defer { agent.stop() }
    let watching = try watching(agent)
    let report = await watching.next(within: .seconds(3))
    #expect(report?.ports == [1])
    #expect(report?.note?.hasSuffix("the config at kv:k is not known yet") == true)
  }

  @Test("a refused key is a note, and the instances are reported without waiting")
  func refused() async throws {
    let agent = try await ScriptedConsulAgent.start { request in
      if request.path == "/v1/kv/k" { return .answer(403, body: "Permission denied") }
      return request["index"] == nil ? .json(instances(1), index: 5) : .hang
    }
    defer { agent.stop() }
    let report = await (try watching(agent)).next()
    #expect(report?.ports == [1])
    #expect(
      report?.note?.hasSuffix("the config at kv:k is not known: 403 Permission denied") == true)
  }

  @Test(
    "an answer that is no value of the KV store is a note, and asked for again",
    arguments: [
      ("{}", "is not a value of the KV store"), ("[]", "is not a value of the KV store"),
      (#"[{"Value": "*"}]"#, "is not base64"), (#"[{"Value": "e30"#, "is not a value"),
    ])
  func nonsense(body: String, reason: String) async throws {
    let seen = Locked(false)
    let agent = try await ScriptedConsulAgent.start { request in
      guard request.path == "/v1/kv/k" else {
        return request["index"] == nil ? .json(instances(1), index: 5) : .hang
      }
      let isFirst = !seen.withLock { $0 }
      return isFirst
        ? .json(body, index: 1) : request["index"] == nil ? kv("e30=", index: 2) : .hang
    }
    defer { agent.stop() }
    let watching = try watching(agent)
    #expect(await watching.report { $0.note?.contains(reason) == true } != nil)
    seen.withLock { $0 = true }
    #expect(await watching.report { $0.serviceConfig != nil } != nil)
  }

  @Test("two channels share the watch of a key; it counts as one of the process's watches")
  func shared() async throws {
    let agent = try await ScriptedConsulAgent.start { request in
      if request["index"] != nil { return .hang }
      return request.path == "/v1/kv/k" ? kv("e30=", index: 3) : .json(instances(1), index: 5)
    }
    defer { agent.stop() }
    let watches = SharedWatches()
    let one = try watching(agent, watches)
    let two = try watching(agent, watches, Log(), "y?config=kv:k")
    #expect(await one.next()?.serviceConfig != nil)
    #expect(await two.next()?.serviceConfig != nil)
    #expect(watches.count == 3)
    #expect(try await eventually { agent.requests.filter { $0.path == "/v1/kv/k" }.count == 2 })
  }

  @Test("without config= nothing is asked for") func off() async throws {
    let agent = try await ScriptedConsulAgent.start { request in
      request["index"] == nil ? .json(instances(1), index: 5) : .hang
    }
    defer { agent.stop() }
    let report = await (try watching(agent, SharedWatches(), Log(), "x")).next()
    #expect(report?.serviceConfig == nil)
    #expect(report?.note == "consul \(agent.address): 1 instance, 1 passing")
    #expect(agent.requests.allSatisfy { $0.path == "/v1/health/service/x" })
  }
}
