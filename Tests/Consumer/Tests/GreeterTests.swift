// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkTesting

@testable import Swift6

@Suite struct GreeterTests {
  @Test func inProcess() async {
    await #expect(throws: Never.self) { try await greetInProcess() }
  }

  @Test func overASocket() async {
    await #expect(throws: Never.self) { try await greet() }
  }
}
