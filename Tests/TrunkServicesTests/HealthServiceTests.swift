// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import Trunkcall

@testable import TrunkServices

@Suite("Health service")
struct HealthServiceTests {
  private typealias Status = HealthService.Status

  private func status(_ health: HealthService, _ name: String) -> Status? {
    try? health.check(name).status
  }

  @Test("the whole server (empty name) serves by default")
  func wholeServer() throws {
    #expect(try HealthService().check("").status == .serving)
  }

  @Test("Check of a name that was never set is NOT_FOUND")
  func unknown() {
    let error = #expect(throws: RPCError.self) { try HealthService().check("nobody") }
    #expect(error?.code == .notFound)
    #expect(error?.message == "unknown service nobody")
  }

  private struct Greeter: RPCService {
    func register(in table: inout MethodTable) {
      for service in ["helloworld.Greeter", "shop.Orders"] {
        table.unary(
          MethodDescriptor<[UInt8], [UInt8]>(
            service: service, method: "Do", request: .bytes, response: .bytes)
        ) { payload, _ in payload }
      }
    }
  }

  @Test("the names of its server's services are SERVING without being set")
  func ownNames() throws {
    let health = HealthService()
    health.setServing("shop.Orders", false)
    let server = GRPCServer(on: .tcp("127.0.0.1", 0), services: [health, Greeter()])
    #expect(status(health, "helloworld.Greeter") == .serving)
    #expect(status(health, "grpc.health.v1.Health") == .serving)
    #expect(status(health, "shop.Orders") == .notServing, "it was set before")
    #expect(status(health, "shop.Other") == nil)
    health.setServing("helloworld.Greeter", false)
    #expect(status(health, "helloworld.Greeter") == .notServing)
    withExtendedLifetime(server) {}

    let inProcess = HealthService()
    _ = InProcessChannel([Greeter(), inProcess])
    #expect(status(inProcess, "helloworld.Greeter") == .serving)
  }

  @Test("Check answers what was set last")
  func set() {
    let health = HealthService()
    health.setServing("a", true)
    #expect(status(health, "a") == .serving)
    health.setServing("a", false)
    #expect(status(health, "a") == .notServing)
    #expect(status(health, "") == .serving)
  }

  @Test(
    "given to another server after a stop it begins anew; to a second one before, nothing changes")
  func secondServer() {
    let health = HealthService()
    let first = GRPCServer(on: .tcp("127.0.0.1", 0), services: [health, Greeter()])
    health.setServing("shop.Orders", false)
    let beside = GRPCServer(on: .tcp("127.0.0.1", 0), services: [health, Greeter()])
    #expect(status(health, "shop.Orders") == .notServing)
    health.setServing("orders", false)
    health.beginShutdown()
    health.setServing("orders", true)
    #expect(status(health, "orders") == .notServing)
    let second = GRPCServer(on: .tcp("127.0.0.1", 0), services: [health, Greeter()])
    #expect(status(health, "") == .serving)
    #expect(status(health, "shop.Orders") == .serving)
    #expect(status(health, "orders") == nil, "a registration sets it to SERVING")
    health.setServing("orders", false)
    health.setServing("orders", true)
    #expect(status(health, "orders") == .serving)
    withExtendedLifetime([first, beside, second]) {}
  }

  @Test("after the stop began everything is NOT_SERVING and no later set wins")
  func shutdown() {
    let health = HealthService()
    health.setServing("a", true)
    health.beginShutdown()
    health.setServing("a", true)
    health.setServing("late", true)
    health.setServing("", true)
    for name in ["", "a", "late"] { #expect(status(health, name) == .notServing) }
  }

  @Test("List holds every name, and refuses more than 100 (A90)")
  func list() throws {
    let health = HealthService()
    health.setServing("bad", false)
    let statuses = try health.list().statuses.mapValues(\.status)
    #expect(statuses == ["": .serving, "bad": .notServing])
    for number in 0..<98 { health.setServing("\(number)", true) }
    #expect(try health.list().statuses.count == 100)
    health.setServing("one too many", true)
    let error = #expect(throws: RPCError.self) { try health.list() }
    #expect(error?.code == .resourceExhausted)
  }

  @Test("Watch sends the state at once and each change, the same state only once")
  func watch() async {
    let health = HealthService()
    let (id, changes) = health.watch("a")
    var seen = changes.makeAsyncIterator()
    #expect(await seen.next() == .serviceUnknown)
    health.setServing("other", true)
    health.setServing("a", true)
    #expect(await seen.next() == .serving)
    health.setServing("a", true)
    health.setServing("a", false)
    #expect(await seen.next() == .notServing)
    health.setServing("a", true)
    #expect(await seen.next() == .serving)
    health.removeWatcher("a", id)
    #expect(await seen.next() == nil)
  }

  @Test("at the server's stop a watch says NOT_SERVING and ends, a later one too")
  func watchAtStop() async {
    let health = HealthService()
    health.setServing("a", true)
    let (_, before) = health.watch("a")
    var seen = before.makeAsyncIterator()
    #expect(await seen.next() == .serving)
    health.beginShutdown()
    #expect(await seen.next() == .notServing)
    #expect(await seen.next() == nil)
    let (_, after) = health.watch("a")
    seen = after.makeAsyncIterator()
    #expect(await seen.next() == .notServing)
    #expect(await seen.next() == nil)
  }

  @Test("a slow watcher gets the newest state")
  func coalescing() async {
    let health = HealthService()
    let (_, changes) = health.watch("a")
    for serving in [true, false, true, false] { health.setServing("a", serving) }
    var seen = changes.makeAsyncIterator()
    #expect(await seen.next() == .notServing)
  }

  @Test("a watch that ended leaves nothing behind")
  func leaks() {
    let health = HealthService()
    let watches = (0..<100).map { ($0, health.watch("name \($0 / 2)").id) }
    #expect(health.watchedNames == 50)
    for (number, id) in watches { health.removeWatcher("name \(number / 2)", id) }
    #expect(health.watchedNames == 0)
  }
}
