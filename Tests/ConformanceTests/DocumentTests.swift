// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Foundation
import Testing

@Suite("docs/conformance.md") struct DocumentTests {
  private static let root = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()

  @Test("every test that it names exists, and every row has a test or says that it is open")
  func names() throws {
    let consul = try String(
      contentsOf: Self.root.appending(path: "docs/consul.md"), encoding: .utf8)
    // Its other tables have no tests in them.
    let rules = consul[(try #require(consul.range(of: "## Conformance"))).lowerBound...]
    let text =
      try String(contentsOf: Self.root.appending(path: "docs/conformance.md"), encoding: .utf8)
      + rules
    let sources = try Self.sources()
    for line in text.split(separator: "\n") where line.hasPrefix("| ") {
      let cells = line.split(separator: "|", omittingEmptySubsequences: true)
      let cell = try #require(cells.last)
      if ["test", "---"].contains(cell.trimmingCharacters(in: .whitespaces)) { continue }
      let titles = cell.matches(of: /"([^"]+)"/).map(\.1)
      #expect(!titles.isEmpty || cell.contains("*Open*") || cell.contains("as above"), "\(line)")
      for title in titles {
        // Foundation's search is compiled with optimization; the standard library's takes seconds.
        let place = sources.range(of: "\"\(title)", options: .literal)
        #expect(place != nil, "no test has this title: \(title)")
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

@Suite("Documentation of public symbols") struct PublicSymbolTests {
  private static let sources = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Sources")

  @Test("every public declaration, enum case and requirement in Sources has a comment")
  func documented() throws {
    var total = 0
    var missing: [String] = []
    for file in try Self.files() {
      let symbols = PublicSymbols(source: try String(contentsOf: file, encoding: .utf8)).symbols
      total += symbols.count
      missing += symbols.filter { !$0.documented }
        .map { "\(file.lastPathComponent):\($0.line): \($0.name)" }
    }
    #expect(missing.isEmpty, "\(missing.count): \(missing.sorted().joined(separator: ", "))")
    #expect(total > 900, "far fewer than there are: the declarations are not recognised any more")
  }

  @Test("public is what says so, cases, requirements and members of a public extension")
  func recognised() {
    let source = """
      /// A type.
      public struct A {
        public let a: Int  /// not above
        let hidden: Int
        public func b() { let local = "{ public var no: Int" }
        /// Documented.
        @inlinable public init(
          _ x: Int, body: () -> Void = {}
        ) {}
        public var description: String { "" }
        public enum B {
          case first, second
          indirect case third(A)
        }
        private enum C { case one }
      }
      struct Internal { public var notCounted: Int }
      public protocol P {
        associatedtype T
        /// Documented.
        func f()
        static var g: Int { get }
      }
      public extension A {
        func member() {}
        private func own() {}
      }
      extension A { var internalMember: Int { 0 } }
      extension A {
        public static func == (a: A, b: A) -> Bool { true }
        public subscript(i: Int) -> Int { i }
      }
      """
    let symbols = PublicSymbols(source: source).symbols
    #expect(
      symbols.filter { !$0.documented }.map { "\($0.line) \($0.name)" } == [
        "3 let a", "5 func b", "11 enum B", "12 case first", "13 case third", "18 protocol P",
        "19 associatedtype T", "22 var g", "25 func member", "31 subscript i",
      ])
    #expect(symbols.filter(\.documented).map(\.line) == [2, 7, 21])
  }

  /// Swift sources written by hand: what the generators write is documented by the proto files.
  private static func files() throws -> [URL] {
    guard let all = FileManager.default.enumerator(at: sources, includingPropertiesForKeys: nil)
    else { return [] }
    return all.compactMap { $0 as? URL }.filter {
      $0.pathExtension == "swift" && !$0.lastPathComponent.hasSuffix(".pb.swift")
        && !$0.lastPathComponent.hasSuffix(".trunk.swift")
    }
  }
}

@Suite("Locks") struct LockTests {
  private static let sources = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Sources")

  /// docs/decisions/0032-no-task-is-resumed-under-a-lock.md
  @Test("no closure under a lock resumes a task, unless it says why nobody waits")
  func resumesNobody() throws {
    let files = try #require(
      FileManager.default.enumerator(at: Self.sources, includingPropertiesForKeys: nil))
    var closures = 0
    for case let file as URL in files where file.pathExtension == "swift" {
      let text = try String(contentsOf: file, encoding: .utf8)
      for match in text.matches(of: /withLock(\([^)]*\))? *\{/) {
        closures += 1
        var depth = 1
        let body = text[match.range.upperBound...].prefix { character in
          depth += character == "{" ? 1 : character == "}" ? -1 : 0
          return depth > 0
        }
        let resumes = body.contains(/\.(resume|yield|finish)\(/)
        #expect(
          !resumes || body.contains("// Nobody waits"),
          "\(file.lastPathComponent): \(body.prefix(200))")
      }
    }
    #expect(closures > 80, "far fewer than there are: they are not recognised any more")
  }
}
