// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery

/// What several sources have reported, and what follows for the channel.
///
/// ```
///   held back ── every source reported, or the start delay is over and one has endpoints ──► reports
///   a source: silent ─► endpoints ◄─► empty, failed (its last endpoints are kept)
/// ```
struct AggregateState: Sendable {
  enum Mode: Sendable, Hashable {
    /// The endpoints of the first source that has some.
    case first
    /// Those of every source, for the policy's child of its name.
    case priorities
  }
  enum Report: Sendable, Hashable {
    case resolution(Resolution)
    case failed(String)
  }
  /// How long sources after the first one wait for those before them to report for the first time.
  static let startDelay: Duration = .seconds(1)

  private struct Source: Sendable {
    let name: String
    var latest: Resolution?
    /// Why it failed after its latest report.
    var failure: String?

    var isSilent: Bool { latest == nil && failure == nil }
    var endpoints: [Endpoint] { latest?.endpoints ?? [] }
    var isUsable: Bool { failure == nil && !endpoints.isEmpty }
    var note: String {
      let own =
        failure ?? latest?.note
        ?? (isSilent ? "no answer yet" : counted(endpoints.count, "endpoint"))
      return "\(name): \(own)"
    }
  }

  private let mode: Mode
  private var sources: [Source]
  private var startDelayIsOver = false

  init(_ mode: Mode, _ names: [String]) {
    self.mode = mode
    sources = names.map { Source(name: $0) }
  }

  mutating func receive(_ event: ResolverDriver.Event, from index: Int) -> Report? {
    switch event {
    case .resolution(let resolution):
      sources[index].latest = resolution
      sources[index].failure = nil
    case .failed(let note): sources[index].failure = note
    }
    return report
  }

  mutating func startDelayPassed() -> Report? {
    startDelayIsOver = true
    return report
  }

  /// Nil while it is held back.
  private var report: Report? {
    switch mode {
    case .first: first
    case .priorities: all
    }
  }

  private var first: Report? {
    if let index = sources.firstIndex(where: \.isUsable) {
      // Sources in front that are only slow to start are preferred.
      guard startDelayIsOver || !sources[..<index].contains(where: \.isSilent) else { return nil }
      return .resolution(resolution(of: index))
    }
    guard !sources.contains(where: \.isSilent) else { return nil }
    // None can be used: a failed one's last endpoints are better than none.
    if let index = sources.firstIndex(where: { !$0.endpoints.isEmpty }) {
      var resolution = resolution(of: index)
      resolution.isAnswer = false
      resolution.note = allNotes
      return .resolution(resolution)
    }
    guard let empty = sources.firstIndex(where: { $0.failure == nil }) else {
      return .failed(allNotes)
    }
    var resolution = resolution(of: empty)
    resolution.note = allNotes
    return .resolution(resolution)
  }

  private func resolution(of index: Int) -> Resolution {
    let source = sources[index]
    var resolution = source.latest ?? Resolution([])
    let passedOver = sources[..<index].map(\.note).joined(separator: "; ")
    resolution.note = source.note + (passedOver.isEmpty ? "" : "; instead of \(passedOver)")
    return resolution
  }

  private var allNotes: String { sources.map(\.note).joined(separator: "; ") }

  private var all: Report? {
    guard startDelayIsOver || !sources.contains(where: \.isSilent) else { return nil }
    guard sources.contains(where: { $0.latest != nil }) else {
      return sources.contains(where: \.isSilent) ? nil : .failed(allNotes)
    }
    // The first config there is; they are the policy's, not a source's.
    let config = sources.lazy.compactMap { $0.latest?.serviceConfig }.first
    var resolution = Resolution(
      sources.flatMap { source in
        source.endpoints.map { endpoint in
          var endpoint = endpoint
          endpoint.childPath.insert(source.name, at: 0)
          return endpoint
        }
      }, serviceConfig: config, note: allNotes)
    resolution.serviceConfigError = sources.lazy.compactMap { $0.latest?.serviceConfigError }.first
    resolution.isAnswer = sources.contains { $0.failure == nil && $0.latest?.isAnswer == true }
    return .resolution(resolution)
  }
}
