// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkWire

@testable import Trunkcall

@Suite("What goes with a status") struct TrailerPlanTests {
  private let details: Metadata = {
    var metadata: Metadata = ["own": "1"]
    metadata.add(binary: [UInt8](repeating: 7, count: 3_000), for: "grpc-status-details-bin")
    return metadata
  }()
  private let trailing: Metadata = ["call": "2"]
  private let text = String(repeating: "why ", count: 500)

  private func plan(_ limit: Int) -> TrailerPlan {
    TrailerPlan(RPCError(.aborted, text, metadata: details), trailing: trailing, limit: limit)
  }
  private func size(_ plan: TrailerPlan) -> Int {
    plan.metadata.listSize + plan.message.count + TrailerPlan.fixedSize
  }

  @Test("all of it, if the client takes it")
  func whole() {
    let plan = plan(.max)
    #expect(plan.message.count == 2_002, "a space at the edge takes three bytes")
    #expect(plan.metadata.map(\.name) == ["own", "grpc-status-details-bin", "call"])
    #expect(plan.leftOut.isEmpty)
  }

  @Test("details go first, then the end of the message, then metadata; it always fits")
  func cut() {
    #expect(plan(4_000).leftOut == ["grpc-status-details-bin"])
    #expect(plan(4_000).metadata.map(\.name) == ["own", "call"])
    #expect(plan(4_000).message.count == 2_002)
    #expect(plan(1_000).leftOut == ["grpc-status-details-bin", "the end of the message"])
    #expect(plan(1_000).metadata.map(\.name) == ["own", "call"])
    #expect(plan(330).message.isEmpty && plan(330).metadata.map(\.name) == ["call"])
    #expect(plan(0).metadata.isEmpty && plan(0).leftOut.count == 4)
    for limit in stride(from: TrailerPlan.fixedSize, through: 6_000, by: 7) {
      #expect(size(plan(limit)) <= limit)
    }
  }

  @Test("details that the handler has added to the trailers go first as well")
  func detailsOfCall() {
    let trailing = details
    let plan = TrailerPlan(RPCError(.aborted, text), trailing: trailing, limit: 4_000)
    #expect(plan.leftOut == ["grpc-status-details-bin"] && plan.message.count == 2_002)
    #expect(plan.metadata.map(\.name) == ["own"])
  }

  @Test("a pair that cannot be sent is named, the others go")
  func refused() {
    let plan = TrailerPlan(
      RPCError(.aborted, "", metadata: ["te": "x", "ok": "1"]), trailing: [:], limit: .max)
    #expect(plan.metadata == ["ok": "1"])
    #expect(plan.leftOut.count == 1 && plan.leftOut.first?.contains("'te'") == true)
  }
}
