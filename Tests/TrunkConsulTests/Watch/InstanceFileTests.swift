// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import FoundationEssentials
import Logging
import Testing
import TrunkDiscovery

@testable import TrunkConsul

@Suite("The last good set on disk") struct InstanceFileTests {
  private let logger = Logger(label: "test")
  private let endpoints: [Endpoint] = {
    let tagged = Endpoint(
      [.host("10.0.0.1", 50_051)], instanceID: "dc1/n/orders-1", weight: 7,
      attributes: ["consul.tags": "v1"])
    return [tagged, Endpoint([.unix("/run/orders.sock")], instanceID: "dc1/n/orders-2")]
  }()

  private func withFile(
    _ maximumAge: Duration = .seconds(3_600), _ body: (InstanceFile, String) async throws -> Void
  ) async throws {
    let folder = FileManager.default.temporaryDirectory.path + "/consul-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try await body(
      InstanceFile(
        ConsulFailStatic(directory: folder, maximumAge: maximumAge), agent: "127.0.0.1:8500",
        ConsulQuery("orders")), folder)
  }

  @Test("what was saved is loaded, with its age; the file is this user's alone") func roundTrip()
    async throws
  {
    try await withFile { file, folder in
      #expect(await file.load(logger) == nil, "none yet")
      await file.save(endpoints, logger, at: 1_000_000)
      let set = try #require(await file.load(logger, at: 1_000_600))
      #expect(set.endpoints == endpoints)
      #expect(set.note == "2 of a file that is 10 min old are used")
      let manager = FileManager.default
      let mode = try manager.attributesOfItem(atPath: file.path)[.posixPermissions]
      #expect(mode.map { "\($0)" } == "\(0o600)")
      #expect(try manager.contentsOfDirectory(atPath: folder).count == 1, "no part is left over")
      await file.save([endpoints[0]], logger, at: 1_000_700)
      #expect(await file.load(logger, at: 1_000_701)?.endpoints == [endpoints[0]])
    }
  }

  @Test("one that is too old, or from the future, is not used", arguments: [3_601.0, -61.0])
  func age(_ age: Double) async throws {
    try await withFile { file, _ in
      await file.save(endpoints, logger, at: 1_000_000)
      #expect(await file.load(logger, at: 1_000_000 + age) == nil)
      #expect(await file.load(logger, at: 1_000_000) != nil)
    }
  }

  @Test("one of another query, or that is damaged, is not used") func foreign() async throws {
    try await withFile { file, folder in
      let other = InstanceFile(
        ConsulFailStatic(directory: folder), agent: "127.0.0.1:8500", ConsulQuery("carts"))
      #expect(other.path != file.path)
      await other.save(endpoints, logger)
      try FileManager.default.moveItem(atPath: other.path, toPath: file.path)
      #expect(await file.load(logger) == nil)
      await file.save(endpoints, logger)
      let whole = try Data(contentsOf: URL(filePath: file.path))
      try Data(whole.prefix(whole.count / 2)).write(to: URL(filePath: file.path))
      #expect(await file.load(logger) == nil)
    }
  }

  @Test("one that others may write, or that is a link, is not used") func permissions()
    async throws
  {
    try await withFile { file, folder in
      await file.save(endpoints, logger)
      let manager = FileManager.default
      try manager.setAttributes([.posixPermissions: 0o622], ofItemAtPath: file.path)
      #expect(await file.load(logger) == nil)
      try manager.setAttributes([.posixPermissions: 0o600], ofItemAtPath: file.path)
      #expect(await file.load(logger) != nil)
      try manager.moveItem(atPath: file.path, toPath: folder + "/elsewhere")
      try manager.createSymbolicLink(
        atPath: file.path, withDestinationPath: folder + "/elsewhere")
      #expect(await file.load(logger) == nil)
    }
  }

  @Test("writers at the same time leave one whole set") func concurrent() async throws {
    try await withFile { file, _ in
      await withTaskGroup(of: Void.self) { group in
        for count in 1...20 {
          let set = (0..<count * 50).map { Endpoint([.host("h", 1)], instanceID: "\(count)-\($0)") }
          group.addTask { await file.save(set, logger) }
        }
      }
      let set = try #require(await file.load(logger)).endpoints
      let writer = set[0].instanceID?.split(separator: "-").first
      #expect(set.allSatisfy { $0.instanceID?.split(separator: "-").first == writer })
      #expect(writer.flatMap { Int($0) }.map { $0 * 50 } == set.count)
    }
  }
}
