// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import FoundationEssentials
import GreeterSupport
import TrunkSockets

/// What a scenario found: broken expectations, and figures.
final class Report: Sendable {
  enum Figure: Encodable, Sendable {
    case number(Double)
    case text(String)
    func encode(to encoder: any Encoder) throws {
      var container = encoder.singleValueContainer()
      switch self {
      case .number(let number): try container.encode(number)
      case .text(let text): try container.encode(text)
      }
    }
  }
  private struct State {
    var broken: [String] = []
    var figures: [String: Figure] = [:]
  }
  let name: String
  let title: String
  private let state = Locked(State())

  init(_ scenario: Scenario) {
    name = scenario.name
    title = scenario.title
  }

  var isWell: Bool { state.withLock { $0.broken.isEmpty } }

  func expect(_ condition: Bool, _ text: @autoclosure () -> String) {
    guard !condition else { return }
    let text = text()
    state.withLock { $0.broken.append(text) }
    say("✘ \(name): \(text)")
  }

  func figure(_ name: String, _ value: Double) {
    state.withLock { $0.figures[name] = .number(value.short) }
    say("   \(name): \(value.short)")
  }
  func figure(_ name: String, _ value: Int) { figure(name, Double(value)) }
  func figure(_ name: String, _ text: String) {
    state.withLock { $0.figures[name] = .text(text) }
    say("   \(name): \(text)")
  }

  private struct Page: Encodable {
    struct Part: Encodable {
      var title: String
      var broken: [String]
      var figures: [String: Figure]
    }
    var form: String
    var build: String
    var scenarios: [String: Part]
  }

  static func write(_ reports: [Report], isFull: Bool, to path: String) throws {
    #if DEBUG
      let build = "debug"
    #else
      let build = "release"
    #endif
    var page = Page(form: isFull ? "full" : "short", build: build, scenarios: [:])
    for report in reports {
      let state = report.state.withLock { $0 }
      page.scenarios[report.name] = Page.Part(
        title: report.title, broken: state.broken, figures: state.figures)
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    var data = try encoder.encode(page)
    data.append(UInt8(ascii: "\n"))
    try data.write(to: URL(filePath: path))
  }
}

/// Milliseconds of several runs.
struct Sample {
  var values: [Double] = []
  var median: Double {
    guard !values.isEmpty else { return .nan }
    let sorted = values.sorted()
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
  }
  var worst: Double { values.max() ?? .nan }
}
