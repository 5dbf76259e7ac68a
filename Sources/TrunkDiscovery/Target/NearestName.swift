// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The known name that an unknown one was most likely meant to be.
enum NearestName {
  /// `, did you mean round_robin?`; empty where nothing is near.
  static func hint(_ name: String, among known: [String]) -> String {
    // A longer name is no misspelling, and comparing it costs too much.
    guard name.utf8.count <= 64 else { return "" }
    let nearest = known.map { (name: $0, distance: distance(name.lowercased(), $0)) }
      .min { $0.distance < $1.distance }
    // A third of the letters may differ.
    guard let nearest, nearest.distance <= max(1, nearest.name.count / 3) else { return "" }
    return ", did you mean \(nearest.name)?"
  }

  /// How many letters are to be changed, added, left out, or swapped with the next (optimal string
  /// alignment).
  static func distance(_ a: String, _ b: String) -> Int {
    let a = Array(a.utf8)
    let b = Array(b.utf8)
    var before: [Int] = []
    var last = Array(0...b.count)
    for i in a.indices {
      var row = [i + 1]
      for j in b.indices {
        var cost = min(last[j] + (a[i] == b[j] ? 0 : 1), last[j + 1] + 1, row[j] + 1)
        if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { cost = min(cost, before[j - 1] + 1) }
        row.append(cost)
      }
      before = last
      last = row
    }
    return last[b.count]
  }
}
