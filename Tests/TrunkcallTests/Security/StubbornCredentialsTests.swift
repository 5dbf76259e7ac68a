// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Synchronization
import Testing

@testable import Trunkcall

@Suite("Credentials that heed neither deadline nor cancellation", .timeLimit(.minutes(1)))
struct StubbornCredentialsTests {
  private struct Stubborn: CallCredentials {
    let gate: Gate
    let asked = Counter(0)
    let allowsPlaintext = true
    func metadata(for call: CallCredentialsRequest) async throws -> Metadata {
      asked.count.wrappingAdd(1, ordering: .relaxed)
      await gate.wait()
      return [:]
    }
  }

  @Test("hold no call over its end", arguments: ChannelKind.allCases)
  func ends(_ kind: ChannelKind) async throws {
    let gate = Gate()
    defer { gate.open() }
    let service = AdHocService(unary: ["Echo": { payload, _ in payload }])
    try await withInvoker(kind, service) { invoker in
      var options = CallOptions(timeout: .milliseconds(50))
      let stubborn = Stubborn(gate: gate)
      options.credentials = [stubborn]
      let late = await failure {
        _ = try await invoker.unary(AdHocService.method("Echo"), [], options)
      }
      #expect(late?.code == .deadlineExceeded)
      options.timeout = nil
      let caller = Task { [options] in
        await failure { _ = try await invoker.unary(AdHocService.method("Echo"), [], options) }
      }
      let isAsked = try await holds { stubborn.asked.count.load(ordering: .relaxed) == 2 }
      #expect(isAsked)
      caller.cancel()
      #expect(await caller.value?.code == .cancelled)
    }
  }
}
