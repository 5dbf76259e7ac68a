// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Foundation
import Testing

@Suite("docs/conformance.md") struct DocumentTests {
  private static let root = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()

  @Test("every test that it names exists, and every row has a test or says that it is open")
  func names() throws {
    let text = try String(
      contentsOf: Self.root.appending(path: "docs/conformance.md"), encoding: .utf8)
    let sources = try Self.sources()
    for line in text.split(separator: "\n") where line.hasPrefix("| ") {
      let cells = line.split(separator: "|", omittingEmptySubsequences: true)
      let cell = try #require(cells.last)
      if ["test", "---"].contains(cell.trimmingCharacters(in: .whitespaces)) { continue }
      let titles = cell.matches(of: /"([^"]+)"/).map(\.1)
      #expect(!titles.isEmpty || cell.contains("*Open*") || cell.contains("as above"), "\(line)")
      for title in titles {
        #expect(sources.contains("\"\(title)"), "no test has this title: \(title)")
      }
    }
  }

  private static func sources() throws -> String {
    let tests = root.appending(path: "Tests")
    guard let files = FileManager.default.enumerator(at: tests, includingPropertiesForKeys: nil)
    else { return "" }
    return try files.compactMap { $0 as? URL }
      .filter { $0.pathExtension == "swift" && !$0.path.contains("/.build") }
      .map { try String(contentsOf: $0, encoding: .utf8) }.joined()
  }
}
