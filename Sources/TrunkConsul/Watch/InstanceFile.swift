// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
private import FoundationEssentials
package import Logging
package import TrunkDiscovery
internal import TrunkSockets

/// The last good set of one query on disk, for a start while Consul cannot be asked.
package struct InstanceFile: Sendable {
  private let file: PrivateFile
  private let maximumAge: Duration
  private let agent: String
  private let query: String

  /// 10,000 instances with a few tags each.
  private static let limit = 16 << 20

  /// - Parameters:
  ///   - agent: its address.
  ///   - query: the service and all that filters its instances; equal queries share a file.
  package init(_ options: ConsulFailStatic, agent: String, _ query: ConsulQuery) {
    let target = query.request(index: nil, wait: nil).requestTarget
    let shown = query.service.unicodeScalars.map { scalar in
      scalar.isASCII && (scalar.properties.isAlphabetic || ("0"..."9").contains(scalar))
        ? Character(scalar) : "-"
    }
    let name = "\(String(shown.prefix(40)))-\(InstanceFile.hash(agent + target)).json"
    file = PrivateFile(options.directory + "/" + name)
    maximumAge = options.maximumAge
    self.agent = agent
    self.query = target
  }

  package var path: String { file.path }
  /// Seconds since 1970.
  package static var now: Double { Date().timeIntervalSince1970 }

  /// Nil, with a line in the log, if there is none, it is too old or cannot be used.
  /// - Parameter now: seconds since 1970.
  package func load(_ logger: Logger, at now: Double = InstanceFile.now) async -> StoredSet? {
    do {
      let (file, limit) = (file, InstanceFile.limit)
      let read = try await BlockingWork.files.run(timeout: .seconds(2), "reading \(path)") {
        () -> Result<[UInt8]?, SocketError> in
        Result { () throws(SocketError) in try file.read(limit: limit) }
      }
      guard let bytes = try read.get() else { return nil }
      guard let content = try? JSONDecoder().decode(Content.self, from: Data(bytes)),
        content.agent == agent, content.query == query
      else {
        logger.warning("consul \(agent): \(path) is none of this query's, not used")
        return nil
      }
      let age = Duration.seconds(now - content.savedAt)
      guard age >= .seconds(-60), age <= maximumAge else {
        logger.notice(
          "consul \(agent): \(path) is \(InstanceFile.text(age)) old, not used")
        return nil
      }
      let endpoints = content.endpoints.compactMap(\.endpoint)
      guard !endpoints.isEmpty else { return nil }
      return StoredSet(
        endpoints,
        "\(endpoints.count) of a file that is \(InstanceFile.text(age)) old "
          + (endpoints.count == 1 ? "is used" : "are used"))
    } catch is CancellationError {
      return nil
    } catch {
      logger.warning("consul \(agent): \(path): \(error)")
      return nil
    }
  }

  package func save(_ endpoints: [Endpoint], _ logger: Logger, at now: Double = InstanceFile.now)
    async
  {
    let content = Content(
      agent: agent, query: query, savedAt: now,
      endpoints: endpoints.map(StoredEndpoint.init))
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    guard let bytes = (try? encoder.encode(content)).map(Array.init),
      bytes.count <= InstanceFile.limit
    else { return logger.warning("consul \(agent): the instances are too many for \(path)") }
    do {
      let file = file
      let written = try await BlockingWork.files.run(timeout: .seconds(5), "writing \(path)") {
        () -> Result<Void, SocketError> in
        Result { () throws(SocketError) in try file.replace(with: bytes) }
      }
      try written.get()
    } catch is CancellationError {
    } catch {
      logger.warning("consul \(agent): \(path): \(error)")
    }
  }

  /// `3 h`, `20 min`, `0 s`.
  private static func text(_ age: Duration) -> String {
    let seconds = max(0, age.components.seconds)
    switch seconds {
    case 7_200...: return "\(seconds / 3_600) h"
    case 120...: return "\(seconds / 60) min"
    default: return "\(seconds) s"
    }
  }

  /// For a file's name; the content says whose it is.
  private static func hash(_ text: String) -> String {
    let digits = String(XXH64.hash(text), radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}

/// A set from disk.
package struct StoredSet: Sendable, Hashable {
  package var endpoints: [Endpoint]
  /// `3 of a file that is 2 h old are used`
  package var note: String
  package init(_ endpoints: [Endpoint], _ note: String) {
    self.endpoints = endpoints
    self.note = note
  }
}

/// How often a set is written: 10 s after the last time when it changed, else once an hour, so that its
/// age tells when Consul was last heard.
package struct SavePace: Sendable {
  package typealias Instant = ContinuousClock.Instant
  package static let least = Duration.seconds(10)
  package static let most = Duration.seconds(3_600)

  private var last: (endpoints: [Endpoint], at: Instant)?
  package init() {}

  package mutating func isDue(_ endpoints: [Endpoint], at now: Instant) -> Bool {
    if let last {
      let age = now - last.at
      guard age >= SavePace.most || (age >= SavePace.least && last.endpoints != endpoints) else {
        return false
      }
    }
    last = (endpoints, now)
    return true
  }
}

private struct Content: Codable {
  var agent: String
  var query: String
  /// Seconds since 1970.
  var savedAt: Double
  var endpoints: [StoredEndpoint]
}

private struct StoredEndpoint: Codable {
  var host: String?
  var port: UInt16?
  var unix: String?
  var id: String?
  var weight: UInt32
  var attributes: [String: String]

  init(_ endpoint: Endpoint) {
    switch endpoint.addresses.first {
    case .host(let host, let port):
      self.host = host
      self.port = port
    case .unix(let path): unix = path
    case .unixAbstract, nil: break  // Consul has none.
    }
    id = endpoint.instanceID
    weight = endpoint.weight
    attributes = endpoint.attributes
  }

  /// Nil if it has no address.
  var endpoint: Endpoint? {
    let address: Address
    if let host, let port, port > 0, !host.isEmpty {
      address = .host(host, port)
    } else if let unix, !unix.isEmpty {
      address = .unix(unix)
    } else {
      return nil
    }
    return Endpoint(
      [address], instanceID: id, weight: min(max(weight, 1), 65_535), attributes: attributes)
  }
}
