// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Glibc
import GreeterSupport

/// A real Consul cluster in network namespaces, and what becomes of a channel's calls in it.
/// Started by `Scripts/consul-cluster`, in the namespace of the client.
///
///     consul-cluster run [--full] [--figures FILE] [SCENARIO...]
///     consul-cluster serve HOST PORT NAME AGENT|-
@main struct ConsulCluster {
  static func main() async throws {
    var words = Array(CommandLine.arguments.dropFirst())
    guard !words.isEmpty else { throw Broken("usage: consul-cluster run | serve") }
    switch words.removeFirst() {
    case "serve": try await BackEnd.serve(words)
    case "run": exit(try await run(words) ? 0 : 1)
    case let word: throw Broken("\(word): run or serve is allowed")
    }
  }

  private static func run(_ words: [String]) async throws -> Bool {
    var isFull = false
    var figures: String?
    var names: [String] = []
    var rest = words[...]
    while let word = rest.popFirst() {
      switch word {
      case "--full": isFull = true
      case "--figures": figures = rest.popFirst()
      default: names.append(word)
      }
    }
    let chosen = Scenario.all.filter { names.isEmpty || names.contains($0.name) }
    guard !chosen.isEmpty, names.allSatisfy({ name in Scenario.all.contains { $0.name == name } })
    else { throw Broken("scenarios: \(Scenario.all.map(\.name).joined(separator: ", "))") }
    let cluster = try Cluster()
    var reports: [Report] = []
    for scenario in chosen {
      say("== \(scenario.name): \(scenario.title)")
      let report = Report(scenario)
      let start = ContinuousClock.now
      do { try await scenario.run(Setting(cluster: cluster, isFull: isFull, report: report)) } catch
      {
        report.expect(false, "\(error)")
      }
      let seconds = (ContinuousClock.now - start).milliseconds / 1_000
      say("\(report.isWell ? "✔" : "✘") \(scenario.name), \(seconds.rounded()) s")
      reports.append(report)
    }
    if let figures { try Report.write(reports, isFull: isFull, to: figures) }
    return reports.allSatisfy(\.isWell)
  }
}

/// Why a scenario could not be carried out.
struct Broken: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// What a scenario runs in.
struct Setting: Sendable {
  let cluster: Cluster
  /// With all repetitions and full lengths; otherwise the short form.
  let isFull: Bool
  let report: Report
}

struct Scenario: Sendable {
  let name: String
  /// The rule that it holds.
  let title: String
  let run: @Sendable (Setting) async throws -> Void

  static let all = [
    disasters, convergence, rollingRestart, watches, flapping, datacenters,
  ]
}

extension Duration {
  var milliseconds: Double {
    Double(components.seconds) * 1e3 + Double(components.attoseconds) / 1e15
  }
}

extension Double {
  /// For figures: one decimal place.
  var short: Double { (self * 10).rounded() / 10 }
}
