// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Generated text, line by line, folded at 100 columns where an argument list allows it.
struct Lines {
  private(set) var text = ""

  mutating func add(_ lines: String...) {
    for line in lines { text += line + "\n" }
  }

  /// `head` up to an open parenthesis, `tail` from the closing one; on one line if it fits, else
  /// the arguments on a line of their own, else one a line.
  mutating func call(_ head: String, _ arguments: [String], _ tail: String) {
    let joined = arguments.joined(separator: ", ")
    if head.count + joined.count + tail.count <= 100 {
      add(head + joined + tail)
      return
    }
    let indent = String(head.prefix { $0 == " " })
    add(head)
    if indent.count + 2 + joined.count <= 100 {
      add(indent + "  " + joined)
    } else {
      for (i, argument) in arguments.enumerated() {
        add(indent + "  " + argument + (i + 1 < arguments.count ? "," : ""))
      }
    }
    add(indent + tail)
  }

  /// `///` lines of a comment in the .proto.
  mutating func comment(_ comment: String, indent: String = "") {
    for line in comment.split(omittingEmptySubsequences: true, whereSeparator: \.isNewline) {
      // A carriage return alone ends a line of Swift, but not a comment of a .proto.
      add(indent + (line.hasPrefix("///") ? "" : "/// ") + line)
    }
  }
}
