// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The answer of `GET /v1/health/service/:name`. An entry that cannot be read is left out and
/// named; the others are used.
package struct HealthAnswer: Decodable, Sendable {
  package var entries: [HealthEntry] = []
  /// `"orders-7": Service.Port is no integer`
  package var unreadable: [String] = []
  /// Of a prepared query: the data center that its instances are in, where the first had none.
  package var failedOverTo: String?

  package init(_ entries: [HealthEntry] = []) { self.entries = entries }

  package init(from decoder: any Decoder) throws {
    for element in try [Readable<HealthEntry>](from: decoder) {
      switch element.result {
      case .success(let entry): entries.append(entry)
      case .failure(let problem): unreadable.append(problem.description)
      }
    }
  }
}

/// The answer of `GET /v1/query/:name/execute` (Consul, Prepared Queries).
package struct PreparedQueryAnswer: Decodable, Sendable {
  package var nodes: HealthAnswer

  private enum Key: String, CodingKey {
    case nodes = "Nodes", datacenter = "Datacenter", failovers = "Failovers"
  }
  package init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: Key.self)
    nodes = try fields.decodeIfPresent(HealthAnswer.self, forKey: .nodes) ?? HealthAnswer()
    guard try fields.decodeIfPresent(Int.self, forKey: .failovers) ?? 0 > 0 else { return }
    nodes.failedOverTo = try fields.decodeIfPresent(String.self, forKey: .datacenter)
  }
}

/// A value, or why it cannot be read: one malformed element does not fail the whole list.
package struct Readable<Value: Decodable & Sendable>: Decodable, Sendable {
  package struct Problem: Error, Sendable, Hashable, CustomStringConvertible {
    package var description: String
  }
  package let result: Result<Value, Problem>

  package init(from decoder: any Decoder) throws {
    do {
      result = .success(try Value(from: decoder))
    } catch {
      let name = (try? Name(from: decoder)).map { "\"\($0.text)\"" }
      result = .failure(Problem(description: "\(name ?? "an entry"): \(Self.reason(error))"))
    }
  }

  var value: Value? { try? result.get() }

  private static func reason(_ error: any Error) -> String {
    let path: (DecodingError.Context) -> String = { context in
      // Without the index in the list, which changes.
      context.codingPath.drop { $0.intValue != nil }.map(\.stringValue).joined(separator: ".")
    }
    switch error as? DecodingError {
    case .typeMismatch(let type, let context), .valueNotFound(let type, let context):
      return "\(path(context)) is no \(type)"
    case .keyNotFound(let key, _): return "\(key.stringValue) is missing"
    case .dataCorrupted(let context): return "\(path(context)) cannot be read"
    default: return "cannot be read"
    }
  }

  /// The names in the rest of the entry.
  private struct Name: Decodable {
    var text: String
    private enum Key: String, CodingKey { case service = "Service", id = "ID", node = "Node" }
    init(from decoder: any Decoder) throws {
      let fields = try decoder.container(keyedBy: Key.self)
      if let service = try? fields.nestedContainer(keyedBy: Key.self, forKey: .service),
        let id = try? service.decode(String.self, forKey: .id)
      {
        text = id
      } else if let id = try? fields.decode(String.self, forKey: .id) {
        text = id
      } else {
        let node = try fields.nestedContainer(keyedBy: Key.self, forKey: .node)
        text = try node.decode(String.self, forKey: .node)
      }
    }
  }
}
