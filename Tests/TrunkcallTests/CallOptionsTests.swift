// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkSockets
import TrunkWire

@testable import Trunkcall

@Suite("Call options", .timeLimit(.minutes(1)))
struct CallOptionsTests {
  private struct Token: CallCredentials {
    let name: String
    func metadata(for call: CallCredentialsRequest) async throws -> Metadata {
      ["x-token": "\(name) \(call.serviceURL)"]
    }
  }
  private func names(_ options: CallOptions) -> [String] {
    options.credentials.compactMap { ($0 as? Token)?.name }
  }

  @Test(
    "what a call sets wins, what it leaves open is the client's; metadata and credentials add up")
  func merged() {
    let deadline = ContinuousClock.now
    let client = CallOptions(
      timeout: .milliseconds(300), deadline: deadline, waitForReady: true, metadata: ["a": "1"],
      inheritsDeadline: true, maxReceiveMessageSize: 10, credentials: [Token(name: "client")],
      compression: .gzip)
    let open = client.adding(CallOptions(metadata: ["a": "2", "b": "3"]))
    #expect(open.timeout == .milliseconds(300))
    #expect(open.deadline == deadline)
    #expect(open.waitForReady == true)
    #expect(open.metadata == ["a": "1", "a": "2", "b": "3"])
    #expect(open.inheritsDeadline)
    #expect(open.maxReceiveMessageSize == 10)
    #expect(open.compression == .gzip)
    #expect(names(open) == ["client"])

    let set = client.adding(
      CallOptions(
        timeout: .seconds(5), deadline: deadline + .seconds(1), waitForReady: false,
        inheritsDeadline: false, maxReceiveMessageSize: 20, credentials: [Token(name: "call")],
        compression: .identity))
    #expect(set.timeout == .seconds(5))
    #expect(set.deadline == deadline + .seconds(1))
    #expect(set.waitForReady == false)
    #expect(set.metadata == ["a": "1"])
    #expect(!set.inheritsDeadline)
    #expect(set.maxReceiveMessageSize == 20)
    #expect(set.compression == .identity)
    #expect(names(set) == ["client", "call"])

    #expect(!CallOptions(inheritsDeadline: false).adding(CallOptions()).inheritsDeadline)
    #expect(client.adding(nil).timeout == .milliseconds(300))
  }

  @Test("the earlier one of timeout, deadline and the handler's deadline holds")
  func earlier() {
    let start = Clock.now()
    let hour = Duration.seconds(3_600)
    func seconds(_ options: CallOptions) -> Int64 {
      let end = options.end(from: start)
      return end == .max ? -1 : Int64((end - start) / 1_000_000_000)
    }
    #expect(seconds(CallOptions()) == -1)
    #expect(seconds(CallOptions(timeout: hour, deadline: .now + hour * 2)) == 3_600)
    #expect(
      (3_590...3_600).contains(seconds(CallOptions(timeout: hour * 2, deadline: .now + hour))))
    InheritedDeadline.$current.withValue(start + 60_000_000_000) {
      #expect(seconds(CallOptions(timeout: hour)) == 60)
      #expect(seconds(CallOptions(timeout: hour, inheritsDeadline: false)) == 3_600)
    }
    #expect(CallOptions(deadline: .now - hour * 24 * 365 * 400).end(from: start) < start)
  }

  @Test(
    "a call whose deadline has passed is DEADLINE_EXCEEDED, and one in time is answered",
    arguments: ChannelKind.allCases)
  func deadline(_ kind: ChannelKind) async throws {
    let service = AdHocService(unary: [
      "Left": { _, call in Array("\(call.timeRemaining.map { $0 > .seconds(50) } ?? false)".utf8) }
    ])
    try await withInvoker(kind, service) { invoker in
      let late = await failure {
        _ = try await invoker.unary(
          AdHocService.method("Left"), [], CallOptions(deadline: .now - .seconds(1)))
      }
      #expect(late?.code == .deadlineExceeded)
      let left = try await invoker.unary(
        AdHocService.method("Left"), [], CallOptions(deadline: .now + .seconds(60)))
      #expect(left == Array("true".utf8))
    }
  }

  @Test("credentials are asked within the process as by a channel with TLS")
  func credentialsInProcess() async throws {
    let service = AdHocService(unary: [
      "Show": { _, call in Array((call.metadata["x-token"] ?? "none").utf8) }
    ])
    let channel = InProcessChannel([service], authority: "orders.example")
    let options = CallOptions(credentials: [Token(name: "mine")])
    let token = try await channel.unary(AdHocService.method("Show"), [], options)
    #expect(String(decoding: token, as: UTF8.self) == "mine https://orders.example/t.AdHoc")

    struct Refusing: CallCredentials {
      func metadata(for call: CallCredentialsRequest) async throws -> Metadata {
        throw RPCError(.unavailable, "no token server")
      }
    }
    let error = await failure {
      _ = try await channel.unary(
        AdHocService.method("Show"), [], CallOptions(credentials: [Refusing()]))
    }
    #expect(error?.code == .unavailable)
    #expect(error?.message == "no token server")
  }

  @Test("credentials that take too long are cut by the deadline, whichever it is")
  func slowCredentials() async throws {
    struct Slow: CallCredentials {
      func metadata(for call: CallCredentialsRequest) async throws -> Metadata {
        try await Task.sleep(for: .seconds(60))
        return [:]
      }
    }
    let channel = InProcessChannel([AdHocService(unary: ["X": { _, _ in [] }])])
    let options = CallOptions(deadline: .now + .milliseconds(20), credentials: [Slow()])
    let error = await failure {
      _ = try await channel.unary(AdHocService.method("X"), [], options)
    }
    #expect(error?.code == .deadlineExceeded)
  }
}
