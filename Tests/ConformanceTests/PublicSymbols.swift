// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The declarations of one source file that a user of its module sees, and which of them have a
/// `///` comment.
///
/// Public is what says `public` or `open`, a case of a public enum, a requirement of a public
/// protocol, a member of a `public extension`. A member of a type that is not public does not
/// count. It reads source as `Scripts/format` leaves it: one declaration begins one line.
struct PublicSymbols {
  struct Symbol: Equatable {
    let line: Int
    let name: String
    let documented: Bool
  }

  private(set) var symbols: [Symbol] = []

  /// Witnesses whose meaning is wholly the standard library's.
  private static let exempt: Set<String> = [
    "func ==", "func <", "func hash", "func encode", "init from", "var description",
    "var debugDescription", "func makeAsyncIterator", "func makeIterator",
  ]
  private static let types: Set<Substring> = [
    "struct", "class", "enum", "actor", "protocol", "extension",
  ]
  private static let members: Set<Substring> = [
    "func", "var", "let", "init", "subscript", "typealias", "associatedtype", "case",
  ]
  private static let modifiers: Set<Substring> = [
    "public", "open", "package", "internal", "private", "fileprivate", "static", "final",
    "mutating", "nonmutating", "consuming", "borrowing", "nonisolated", "isolated", "indirect",
    "override", "convenience", "required", "lazy", "weak", "unowned", "dynamic", "prefix",
    "postfix", "infix", "distributed", "unsafe",
  ]

  /// What a brace opened: a body of statements, or a type whose members may be public.
  private enum Scope {
    case code
    case type(keyword: Substring, isPublic: Bool, saysPublic: Bool)
  }

  init(source: String) {
    let lines = source.split(separator: "\n", omittingEmptySubsequences: false)
    let code = CodeOnly.lines(of: source)
    var scopes: [Scope] = []
    var parentheses = 0
    var pending = Scope.code
    for (index, line) in code.enumerated() {
      if parentheses == 0, let found = Self.declaration(line, in: scopes.last) {
        pending = found.opens
        if found.isPublic, !Self.exempt.contains(found.name) {
          symbols.append(
            Symbol(
              line: index + 1, name: found.name,
              documented: Self.isDocumented(above: index, lines: lines)))
        }
      }
      for character in line {
        switch character {
        case "(", "[": parentheses += 1
        case ")", "]": parentheses -= 1
        case "{":
          scopes.append(parentheses == 0 ? pending : .code)
          if parentheses == 0 { pending = .code }
        case "}": _ = scopes.popLast()
        default: break
        }
      }
    }
  }

  private static func declaration(_ line: Substring, in scope: Scope?) -> (
    name: String, isPublic: Bool, opens: Scope
  )? {
    let outer: (keyword: Substring, isPublic: Bool, saysPublic: Bool)
    switch scope {
    case .code: return nil
    case .type(let keyword, let isPublic, let saysPublic): outer = (keyword, isPublic, saysPublic)
    case nil: outer = ("", true, false)
    }
    var words = line.drop { $0 == " " }
    var access: Substring?
    while true {
      if words.first == "@" {
        words = words.dropFirst().drop { $0.isLetter || $0.isNumber || $0 == "_" }
        if words.first == "(" {
          guard let end = words.firstIndex(of: ")") else { return nil }
          words = words[words.index(after: end)...]
        }
        words = words.drop { $0 == " " }
        continue
      }
      let word = words.prefix { $0.isLetter }
      let rest = words.dropFirst(word.count)
      let isClassMember = word == "class" && (rest.hasPrefix(" func") || rest.hasPrefix(" var"))
      guard modifiers.contains(word) || isClassMember else { break }
      if rest.hasPrefix("("), let end = rest.firstIndex(of: ")") {
        words = rest[rest.index(after: end)...].drop { $0 == " " }  // private(set)
        continue
      }
      if ["public", "open", "package", "internal", "private", "fileprivate"].contains(word) {
        access = word
      }
      words = rest.drop { $0 == " " }
    }
    let keyword = words.prefix { $0.isLetter }
    let isType = types.contains(keyword)
    guard isType || members.contains(keyword) else { return nil }
    let saysPublic = access == "public" || access == "open"
    let inherits =
      switch outer.keyword {
      case "protocol": true
      case "enum": keyword == "case"
      case "extension": outer.saysPublic
      default: false
      }
    let isPublic = outer.isPublic && (saysPublic || (access == nil && inherits))
    let rest = words.dropFirst(keyword.count)
    let separator: Set<Character> =
      keyword == "init" ? [")", ":"] : ["(", ":", " ", "<", "{", "=", ","]
    var name = rest.drop { $0 == " " || $0 == "(" || $0 == "?" }.prefix { !separator.contains($0) }
    if keyword == "func", name.isEmpty {  // an operator: ==, <
      name = rest.drop { $0 == " " }.prefix { $0 != " " && $0 != "(" }
    }
    let opens: Scope =
      isType
      // An extension says nothing of the type's access: its members speak for themselves.
      ? .type(
        keyword: keyword, isPublic: keyword == "extension" || isPublic, saysPublic: saysPublic)
      : .code
    let first = keyword == "init" ? name.prefix { $0 != " " } : name
    return ("\(keyword) \(first)", isPublic && keyword != "extension", opens)
  }

  /// The comment stands above the declaration, with nothing but attributes between them.
  private static func isDocumented(above index: Int, lines: [Substring]) -> Bool {
    for line in lines[..<index].reversed() {
      let text = line.drop { $0 == " " }
      if text.hasPrefix("///") { return true }
      guard text.hasPrefix("@") || text.hasPrefix("#") else { return false }
    }
    return false
  }
}

/// Source without what stands in its strings and comments, so that braces and words are code.
private enum CodeOnly {
  static func lines(of source: String) -> [Substring] {
    let text = Array(source)
    var code = ""
    var at = 0
    while at < text.count {
      if matches("//", text, at) {
        while at < text.count, text[at] != "\n" { at += 1 }
      } else if text[at] == "\"" || (text[at] == "#" && at + 1 < text.count && text[at + 1] == "\"")
      {
        skipString(text, &at, into: &code)
      } else {
        code.append(text[at])
        at += 1
      }
    }
    return code.split(separator: "\n", omittingEmptySubsequences: false)
  }

  private static func matches(_ word: String, _ text: [Character], _ at: Int) -> Bool {
    text[at...].starts(with: word)
  }

  /// Steps over a string, its interpolations with it; keeps its line breaks.
  private static func skipString(_ text: [Character], _ at: inout Int, into code: inout String) {
    let isRaw = text[at] == "#"
    if isRaw { at += 1 }
    let quote = matches("\"\"\"", text, at) ? "\"\"\"" : "\""
    at += quote.count
    while at < text.count {
      if !isRaw, text[at] == "\\" {
        at += 1
        guard at < text.count, text[at] == "(" else {
          at += 1
          continue
        }
        var depth = 0
        repeat {
          if text[at] == "\"" {
            skipString(text, &at, into: &code)
            continue
          }
          if text[at] == "(" { depth += 1 }
          if text[at] == ")" { depth -= 1 }
          at += 1
        } while depth > 0 && at < text.count
      } else if matches(quote + (isRaw ? "#" : ""), text, at) {
        at += quote.count + (isRaw ? 1 : 0)
        return
      } else {
        if text[at] == "\n" { code.append("\n") }
        at += 1
      }
    }
  }
}
