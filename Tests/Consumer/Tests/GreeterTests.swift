// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkTesting

@testable import Swift6

@Suite struct GreeterTests {
  @Test func inProcess() async throws { try await greetInProcess() }

  @Test func overASocket() async throws { try await greet() }
}
