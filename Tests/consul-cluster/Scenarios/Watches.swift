// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import FoundationEssentials
import Glibc
import GreeterStubs
import ProcessSupport
import SwiftProtobuf
import TrunkConsul
import TrunkSockets
import Trunkcall

extension Scenario {
  /// Against an agent of its own, whose limit is the default of 200 connections from one address.
  static let watches = Scenario(
    name: "watches",
    title: "channels share their polls, and no number of services meets the agent's limit"
  ) { setting in
    let services = try await Services(setting, 250)
    try await services.shared()
    try await services.inARow()
    try await services.beyondTheBudget()
  }
}

private struct Services {
  let setting: Setting
  let agent: ConsulProcess
  let servers: [ChildProcess]
  let count: Int

  init(_ setting: Setting, _ count: Int) async throws {
    self.setting = setting
    self.count = count
    agent = try await ConsulProcess.start()
    servers = [
      try await setting.cluster.serve("-", port: 50_081, registers: false, on: .client),
      try await setting.cluster.serve("-", port: 50_082, registers: false, on: .client),
    ]
    try await agent.ready()
    for number in 0..<count { try await register(number, port: 50_081) }
  }

  private func register(_ number: Int, port: Int) async throws {
    var request = HTTPRequest(.put)
    request.path = ["v1", "agent", "service", "register"]
    request.body = Array(
      """
      {"ID": "many-\(number)-\(port)", "Name": "many-\(number)", "Port": \(port),
      "Address": "\(Host.client.address)"}
      """.utf8)
    _ = try await AgentClient(ConsulAgent(agent.address)).send(request, timeout: .seconds(5))
  }

  private func channel(
    _ number: Int, _ options: ConsulOptions = ConsulOptions()
  ) throws -> (GRPCChannel, RecordingResolver.Record) {
    let resolver = RecordingResolver(options)
    let channel = try GRPCChannel(
      to: "consul://\(agent.address)/many-\(number)", resolvers: [resolver], balancer: "round_robin"
    )
    return (channel, resolver.record)
  }

  private func call(_ channel: GRPCChannel) async throws {
    _ = try await channel.unaryResponse(
      Helloworld_Greeter.Methods.sayHello, .init(), CallOptions(timeout: .seconds(5)))
  }

  /// Connections of this process to the agent. One that is closed here still counts there, so the
  /// agent's ends are counted.
  private func connections() -> Int {
    let port = String(agent.port, radix: 16, uppercase: true)
    let suffix = ":" + String(repeating: "0", count: 4 - port.count) + port
    let lines = (lines(of: "/proc/self/net/tcp") + lines(of: "/proc/self/net/tcp6"))
    return lines.count {
      let words = $0.split(separator: " ")
      // Local address, remote address, state: 01 established, 08 closed by the client.
      return words.count > 3 && words[1].hasSuffix(suffix) && (words[3] == "01" || words[3] == "08")
    }
  }

  /// Of a file in /proc, which has no size.
  private func lines(of path: String) -> [Substring] {
    guard let file = fopen(path, "r") else { return [] }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var page = [UInt8](repeating: 0, count: 65_536)
    while case let count = fread(&page, 1, page.count, file), count > 0 {
      bytes += page.prefix(count)
    }
    return String(decoding: bytes, as: UTF8.self).split(separator: "\n")
  }

  func shared() async throws {
    var channels: [GRPCChannel] = []
    for number in 0..<200 { channels.append(try channel(number % 20).0) }
    for channel in channels { try await channel.ready(within: .seconds(20)) }
    for channel in channels { try await call(channel) }
    try await Task.sleep(for: .seconds(1))
    let polls = connections()
    setting.report.figure("200 channels to 20 services: connections to the agent", polls)
    setting.report.expect(polls == 20, "200 channels to 20 services have \(polls) connections")
    for channel in channels { await channel.close() }
  }

  func inARow() async throws {
    let count = setting.isFull ? 1_000 : 200
    for (linger, name) in [(Duration.seconds(60), "linger 60 s"), (.zero, "linger 0")] {
      var most = 0
      var failed = 0
      for number in 0..<count {
        let (channel, _) = try channel(number % 20, ConsulOptions(linger: linger))
        do {
          try await channel.ready(within: .seconds(10))
          try await call(channel)
        } catch {
          if failed == 0 { setting.report.expect(false, "channel \(number), \(name): \(error)") }
          failed += 1
        }
        await channel.close()
        most = max(most, connections())
      }
      setting.report.figure("\(count) channels in a row, \(name): most connections", most)
      setting.report.figure("\(count) channels in a row, \(name): failed", failed)
      setting.report.expect(most < 200, "\(count) channels in a row: \(most) connections, \(name)")
    }
  }

  func beyondTheBudget() async throws {
    var channels: [(GRPCChannel, RecordingResolver.Record)] = []
    for number in 0..<count { channels.append(try channel(number)) }
    var failed = 0
    for (channel, _) in channels {
      do {
        try await channel.ready(within: .seconds(20))
        try await call(channel)
      } catch {
        if failed == 0 { setting.report.expect(false, "\(count) services: \(error)") }
        failed += 1
        // Each of them takes its time to fail.
        if failed == 3 { break }
      }
    }
    setting.report.figure("\(count) services: failed channels", failed)
    setting.report.expect(failed == 0, "\(count) services: \(failed) channels failed")
    var most = 0
    // Each service gets a second instance.
    let start = monotonic()
    for number in 0..<count { try await register(number, port: 50_082) }
    let registered = Double(monotonic() - start) / 1e9
    let address = "\(Host.client.address):50082"
    func seen() -> [UInt64] {
      channels.compactMap { $0.1.sightings.first(address, isThere: true, since: start) }
    }
    try? await until(within: .seconds(20), "all see their second instance") {
      most = max(most, connections())
      return seen().count == count
    }
    setting.report.figure("\(count) services: most connections", most)
    setting.report.figure("\(count) services: saw the change", seen().count)
    setting.report.figure(
      "\(count) services: the last saw it after, s",
      Double((seen().max() ?? start) - start) / 1e9 - registered)
    setting.report.expect(
      seen().count == count, "\(count) services: \(seen().count) saw the change")
    setting.report.expect(most < 200, "\(count) services: \(most) connections")
    for (channel, _) in channels { await channel.close() }
  }
}
