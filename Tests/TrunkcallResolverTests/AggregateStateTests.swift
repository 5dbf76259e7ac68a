// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing
import TrunkDiscovery

@testable import Trunkcall

@Suite("Several sources of endpoints, as a value") struct AggregateStateTests {
  private func endpoints(_ ports: UInt16...) -> Resolution {
    Resolution(ports.map { Endpoint(Address("h", $0)) }, note: "found")
  }
  private func first() -> AggregateState { AggregateState(.first, ["consul", "dns"]) }

  private func ports(_ report: AggregateState.Report?) -> [UInt16]? {
    guard case .resolution(let resolution)? = report else { return nil }
    return resolution.endpoints.compactMap {
      if case .host(_, let port)? = $0.addresses.first { port } else { nil }
    }
  }
  private func note(_ report: AggregateState.Report?) -> String? {
    switch report {
    case .resolution(let resolution)?: resolution.note
    case .failed(let note)?: "failed: \(note)"
    case nil: nil
    }
  }

  @Test("first: the first source is used as soon as it has endpoints, and waited for at the start")
  func start() {
    var state = first()
    #expect(state.receive(.resolution(endpoints(2)), from: 1) == nil)
    let report = state.receive(.resolution(endpoints(1)), from: 0)
    #expect(ports(report) == [1] && note(report) == "consul: found")

    var slow = first()
    #expect(slow.startDelayPassed() == nil)
    let early = slow.receive(.resolution(endpoints(2)), from: 1)
    #expect(ports(early) == [2] && note(early) == "dns: found; instead of consul: no answer yet")
    #expect(ports(slow.receive(.resolution(endpoints(1)), from: 0)) == [1])
  }

  @Test("first: one that fails or is empty gives way, and is used again when it has endpoints")
  func fallback() {
    var state = first()
    _ = state.receive(.resolution(endpoints(1)), from: 0)
    _ = state.receive(.resolution(endpoints(2)), from: 1)
    let failed = state.receive(.failed("away"), from: 0)
    #expect(ports(failed) == [2] && note(failed) == "dns: found; instead of consul: away")
    #expect(ports(state.receive(.resolution(endpoints(3)), from: 0)) == [3])
    let empty = state.receive(.resolution(Resolution([], note: "0 passing")), from: 0)
    #expect(ports(empty) == [2] && note(empty) == "dns: found; instead of consul: 0 passing")
    #expect(ports(state.receive(.resolution(endpoints(4)), from: 0)) == [4])
  }

  @Test("first: if none can be used, a failed one's last endpoints stay, marked as no answer")
  func kept() {
    var state = first()
    _ = state.receive(.resolution(endpoints(1)), from: 0)
    _ = state.receive(.failed("no DNS"), from: 1)
    let report = state.receive(.failed("away"), from: 0)
    #expect(ports(report) == [1] && note(report) == "consul: away; dns: no DNS")
    guard case .resolution(let resolution)? = report else { return }
    #expect(!resolution.isAnswer)
  }

  @Test("first: without any endpoints the answer is empty if one source answered, else a failure")
  func nothing() {
    var state = first()
    #expect(state.receive(.failed("away"), from: 0) == nil)
    #expect(note(state.receive(.failed("no DNS"), from: 1)) == "failed: consul: away; dns: no DNS")
    let empty = state.receive(.resolution(Resolution([], note: "0 instances")), from: 0)
    #expect(ports(empty) == [] && note(empty) == "consul: 0 instances; dns: no DNS")
  }

  @Test(
    "priorities: all sources at once, each endpoint with its source's name in front of its path")
  func priorities() {
    var state = AggregateState(.priorities, ["main", "spare"])
    var inner = Endpoint(Address("h", 2))
    inner.childPath = ["west"]
    #expect(state.receive(.resolution(Resolution([inner])), from: 1) == nil)
    let report = state.receive(.resolution(endpoints(1)), from: 0)
    guard case .resolution(let resolution)? = report else {
      Issue.record("held back")
      return
    }
    #expect(resolution.endpoints.map(\.childPath) == [["main"], ["spare", "west"]])
    #expect(resolution.note == "main: found; spare: 1 endpoint" && resolution.isAnswer)
    // A failure keeps the endpoints that are known.
    #expect(ports(state.receive(.failed("away"), from: 0)) == [1, 2])
    #expect(ports(state.receive(.resolution(endpoints()), from: 0)) == [2])
  }

  @Test("priorities: a silent source is waited for at the start only; all failed is a failure")
  func prioritiesAtStart() {
    var state = AggregateState(.priorities, ["main", "spare"])
    _ = state.receive(.resolution(endpoints(2)), from: 1)
    #expect(ports(state.startDelayPassed()) == [2])
    var failed = AggregateState(.priorities, ["main", "spare"])
    _ = failed.receive(.failed("a"), from: 0)
    #expect(note(failed.receive(.failed("b"), from: 1)) == "failed: main: a; spare: b")
  }
}
