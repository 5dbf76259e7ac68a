// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// What a health service knows: which names are well. A value; ``HealthService`` guards one.
struct HealthTable: Sendable {
  /// Names that `List` may return (gRFC A90 leaves the limit to the server; grpc-swift's is 100).
  static let listLimit = 100

  /// The whole server is the empty name, well from the start (health-checking.md).
  private var serving: [String: Bool] = ["": true]
  private(set) var isShuttingDown = false

  /// Nil for a name that was never set.
  func isServing(_ name: String) -> Bool? { serving[name] }

  /// Whether that changes what `name` answers. After ``beginShutdown()`` nothing does any more,
  /// except that a new name is known as not serving.
  mutating func set(_ name: String, _ isServing: Bool) -> Bool {
    let value = isServing && !isShuttingDown
    return serving.updateValue(value, forKey: name) != value
  }

  /// Whether that changes what `name` answers: it is well, unless something was said of it already.
  mutating func add(_ name: String) -> Bool {
    guard serving[name] == nil else { return false }
    return set(name, true)
  }

  /// The names whose answer changes.
  mutating func beginShutdown() -> [String] {
    isShuttingDown = true
    let changed = serving.filter(\.value).map(\.key)
    for name in changed { serving[name] = false }
    return changed
  }

  /// All names and their state; nil if there are more than ``listLimit``.
  func list() -> [String: Bool]? { serving.count > HealthTable.listLimit ? nil : serving }
}
