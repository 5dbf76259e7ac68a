// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Logging

/// The discovery chain of a service at one moment, as its watch publishes it.
package struct ChainSnapshot: Sendable, Hashable {
  /// The last chain that could be used; nil: there was none.
  package var routes: ChainRoutes?
  /// Why there is none, or why it may be old.
  package var problem: String?

  package init(_ routes: ChainRoutes?, problem: String? = nil) {
    self.routes = routes
    self.problem = problem
  }
}

/// Compiles what the watch of a chain reads, and says what became of it: each change is one line in the
/// log. A chain that cannot be used keeps the one before it. No I/O, no clock.
struct ChainReader {
  typealias Line = LogLine

  private let service: String
  private var before: DiscoveryChain?
  private var routes: ChainRoutes?
  private var refusal: String?

  init(_ service: String) { self.service = service }

  mutating func read(
    _ snapshot: ValueWatchState<DiscoveryChain>.Snapshot
  ) -> (snapshot: ChainSnapshot, log: [Line]) {
    var log: [Line] = []
    if let chain = snapshot.value, chain != before {
      log = adopt(chain)
      before = chain
    }
    let problems = [refusal, snapshot.problem].compactMap { $0 }
    return (
      ChainSnapshot(routes, problem: problems.isEmpty ? nil : problems.joined(separator: "; ")), log
    )
  }

  private mutating func adopt(_ chain: DiscoveryChain) -> [Line] {
    let name = "the discovery chain of \(service)"
    do throws(ChainRoutes.Refusal) {
      let new = try ChainRoutes(chain)
      let isNew = new != routes || refusal != nil
      let isFirst = before == nil
      routes = new
      refusal = nil
      guard isNew else { return [] }
      var lines: [Line] = []
      if !isFirst { lines.append(Line(level: .notice, text: "\(name) is \(new.description)")) }
      if !new.notApplied.isEmpty {
        let list = new.notApplied.joined(separator: ", ")
        lines.append(Line(level: .warning, text: "\(name): not applied: \(list)"))
      }
      return lines
    } catch {
      let text = "\(name) cannot be used: \(error)"
      refusal = "cannot be used: \(error)" + (routes == nil ? "" : "; the last one is kept")
      return [Line(level: .warning, text: text)]
    }
  }
}
