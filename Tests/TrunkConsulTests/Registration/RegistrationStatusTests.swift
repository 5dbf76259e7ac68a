// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Testing

@testable import TrunkConsul

@Suite("The state of a registration") struct RegistrationStatusTests {
  @Test("readers get the states in the order in which they were set, whichever task set them")
  func order() async {
    var wrong = 0
    for round in 0..<3_000 {
      let status = RegistrationStatus()
      let (first, second) = (status.changes(), status.changes())
      // Not more than a reader's backlog.
      await withTaskGroup(of: Void.self) { group in
        for setter in ["a", "b"] {
          group.addTask { @concurrent in
            for number in 0..<6 { status.set(.trouble(reason: "\(round) \(setter) \(number)")) }
          }
        }
      }
      let last = status.current
      status.set(.gone)
      let (one, other) = (await Self.all(first), await Self.all(second))
      if one != other || one.dropLast().last != last { wrong += 1 }
    }
    #expect(wrong == 0, "of 3,000 rounds")
  }

  @Test("leaving is followed by gone alone, and a reader that comes later gets gone") func end()
    async
  {
    let status = RegistrationStatus()
    let states = status.changes()
    for state in [
      ConsulRegistration.State.registering, .registering, .leaving, .trouble(reason: "x"), .gone,
      .waiting,
    ] { status.set(state) }
    #expect(await Self.all(states) == [.waiting, .registering, .leaving, .gone])
    #expect(await Self.all(status.changes()) == [.gone])
  }

  private static func all(
    _ states: AsyncStream<ConsulRegistration.State>
  ) async -> [ConsulRegistration.State] {
    var all: [ConsulRegistration.State] = []
    for await state in states { all.append(state) }
    return all
  }
}
