// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The answers for a name whose IPv6 and IPv4 addresses are queried separately: one family's answer
/// waits for the other's for at most 50 ms (RFC 8305 §3).
///
/// ```
///   none ── addresses ──► one ── other answered ──────────────► both
///    │                     └── 50 ms ──► given out ── other ───► both
///    └── no address, error: its own answer is not used, the other is waited for
/// ```
struct FamilyAnswers {
  enum Family: Sendable { case v6, v4 }
  typealias Answer = Result<[SocketAddress], any Error>
  enum Event: Sendable {
    case answered(Family, Answer)
    case delayPassed
  }
  enum Next {
    case wait
    /// Call `delayPassed` after ``resolutionDelay``.
    case waitBriefly
    /// These are known for now; the other family is still queried.
    case partial([SocketAddress])
    case complete
  }

  /// RFC 8305 §3 and §8.
  static let resolutionDelay: Duration = .milliseconds(50)

  private var v6: Answer?
  private var v4: Answer?

  mutating func receive(_ event: Event) -> Next {
    switch event {
    case .answered(.v6, let answer): v6 = answer
    case .answered(.v4, let answer): v4 = answer
    case .delayPassed: return v6 != nil && v4 != nil ? .wait : .partial(found)
    }
    if v6 != nil && v4 != nil { return .complete }
    return found.isEmpty ? .wait : .waitBriefly
  }

  /// IPv6 first (RFC 6724's preference). One family may fail while the other answers.
  var result: Answer {
    guard found.isEmpty else { return .success(found) }
    for case .failure(let error)? in [v6, v4] { return .failure(error) }
    return .success([])
  }

  private var found: [SocketAddress] {
    [v6, v4].flatMap { answer in (try? answer?.get()) ?? [] }
  }
}

extension FamilyAnswers {
  /// Queries both families at once.
  /// - Parameter partial: gets one family's addresses when the other is not answered; false if they
  ///   are enough.
  static func gather(
    delay: Duration = resolutionDelay, by ask: @escaping @Sendable (Family) async -> Answer,
    partial: @Sendable ([SocketAddress]) -> Bool
  ) async throws -> [SocketAddress] {
    let result = await withTaskGroup(of: Event.self) { group -> Answer in
      for family in [Family.v6, .v4] {
        group.addTask { .answered(family, await ask(family)) }
      }
      defer { group.cancelAll() }
      var answers = FamilyAnswers()
      while let event = await group.next() {
        switch answers.receive(event) {
        case .wait: break
        case .waitBriefly:
          group.addTask {
            try? await Task.sleep(for: delay)
            return .delayPassed
          }
        case .partial(let addresses): if !partial(addresses) { return .success(addresses) }
        case .complete: return answers.result
        }
      }
      return answers.result
    }
    try Task.checkCancellation()
    return try result.get()
  }
}
