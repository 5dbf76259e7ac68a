// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The serving status of each name. A value; ``HealthService`` guards one.
struct HealthTable: Sendable {
  /// Names that `List` may return (gRFC A90 leaves the limit to the server; grpc-swift's is 100).
  static let listLimit = 100

  /// The empty name is the whole server, SERVING from the start (health-checking.md).
  private var serving: [String: Bool] = ["": true]
  private(set) var isShuttingDown = false

  /// Nil for a name that was never set.
  func isServing(_ name: String) -> Bool? { serving[name] }

  /// Sets a status; returns whether that changes the answer for `name`. After ``beginShutdown()``
  /// nothing does, except that a new name becomes known as NOT_SERVING.
  mutating func set(_ name: String, _ isServing: Bool) -> Bool {
    let value = isServing && !isShuttingDown
    return serving.updateValue(value, forKey: name) != value
  }

  /// Adds a name; returns whether that changes its answer: it is SERVING, unless a status was set
  /// before.
  mutating func add(_ name: String) -> Bool {
    guard serving[name] == nil else { return false }
    return set(name, true)
  }

  /// A server takes the table: after an earlier server's stop it begins anew, since all statuses
  /// before are those of that server.
  mutating func begin() {
    guard isShuttingDown else { return }
    self = HealthTable()
  }

  /// Returns the names whose answer changes.
  mutating func beginShutdown() -> [String] {
    isShuttingDown = true
    let changed = serving.filter(\.value).map(\.key)
    for name in changed { serving[name] = false }
    return changed
  }

  /// All names and their status; nil if there are more than ``listLimit``.
  func list() -> [String: Bool]? { serving.count > HealthTable.listLimit ? nil : serving }
}
