// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
private import FoundationEssentials
internal import Synchronization
internal import TrunkSockets

/// The token for the next request. A file is read again when its modification time has changed and
/// after the agent answered 403 (Consul's own client reads it once).
package final class TokenSource: Sendable {
  private struct Cache {
    var modified: Date?
    var token: String
  }
  private let token: ConsulAgent.Token?
  private let cache = Locked<Cache?>(nil)

  package init(_ token: ConsulAgent.Token?) { self.token = token }

  /// - Throws: ``ConsulError/tokenFile(path:reason:)``.
  package func current() throws(ConsulError) -> String? {
    switch token {
    case nil: return nil
    case .value(let text): return text
    case .file(let path):
      let modified = TokenSource.modified(path)
      if let known = cache.withLock({ $0 }), known.modified == modified, modified != nil {
        return known.token
      }
      let text = try TokenSource.read(path)
      cache.withLock { $0 = Cache(modified: modified, token: text) }
      return text
    }
  }

  /// The token that was last sent; nil: none was, or it was refused since.
  var last: String? {
    switch token {
    case nil: nil
    case .value(let text): text
    case .file: cache.withLock { $0?.token }
    }
  }

  /// The agent refused the token: the file is read again.
  package func refused() { cache.withLock { $0 = nil } }

  private static func modified(_ path: String) -> Date? {
    let attributes = try? FileManager.default.attributesOfItem(atPath: path)
    return attributes?[.modificationDate] as? Date
  }

  private static func read(_ path: String) throws(ConsulError) -> String {
    let text: String
    do {
      text = try String(contentsOfFile: path, encoding: .utf8).trimmed
    } catch {
      throw .tokenFile(path: path, reason: "cannot be read")
    }
    guard !text.isEmpty else { throw .tokenFile(path: path, reason: "is empty") }
    return text
  }
}
