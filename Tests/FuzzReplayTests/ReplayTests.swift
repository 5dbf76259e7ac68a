// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Foundation
import FuzzTargets
import Testing

@Suite("Fuzz corpora") struct ReplayTests {
  private static let corpus = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().appending(path: "Fuzz/Corpus")

  @Test(
    "every input that was worth keeping keeps its properties",
    arguments: FuzzTarget.all.map(\.name))
  func replay(name: String) throws {
    let target = try #require(FuzzTarget.named(name))
    let folder = Self.corpus.appending(path: name)
    let files = try FileManager.default.contentsOfDirectory(
      at: folder, includingPropertiesForKeys: nil)
    #expect(!files.isEmpty)
    // A property that does not hold traps: the file is the last one printed.
    for file in files.sorted(by: { $0.path < $1.path }) {
      target.run(Array(try Data(contentsOf: file)))
    }
    target.run([])
  }
}
