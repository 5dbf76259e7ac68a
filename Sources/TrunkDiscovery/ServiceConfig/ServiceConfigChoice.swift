// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Chooses the service config for this client from a list of choices (gRFC A2): the first one whose
/// language, host name and percentage all match.
package struct ServiceConfigChoice {
  /// What `clientLanguage` must list, in any case.
  static let language = "swift"
  private static let prefix = Array("grpc_config=".utf8)

  /// This machine, for `clientHostname`.
  package var hostname: String
  /// 0..<100: `percentage` must be above it.
  package var percentile: Int

  package init(hostname: String, percentile: Int) {
    self.hostname = hostname
    self.percentile = percentile
  }

  /// Of TXT records. Nil if no record begins with `grpc_config=`, or no choice fits.
  package func choose(from texts: [[UInt8]]) throws(ServiceConfigError) -> ServiceConfig? {
    guard let text = texts.first(where: { $0.starts(with: ServiceConfigChoice.prefix) }) else {
      return nil
    }
    let json = try JSONValue(parsing: Array(text.dropFirst(ServiceConfigChoice.prefix.count)))
    guard case .array(let choices) = json else {
      throw ServiceConfigError(path: "grpc_config", "an array is needed, not \(json.kind)")
    }
    return try choose(from: choices, path: "grpc_config")
  }

  /// Of a JSON text: a service config, or an array of choices, as in a TXT record. Nil if no choice
  /// fits.
  package func choose(fromJSON json: [UInt8]) throws(ServiceConfigError) -> ServiceConfig? {
    guard case .array(let choices) = try JSONValue(parsing: json) else {
      return try ServiceConfig(json: json)
    }
    return try choose(from: choices, path: "")
  }

  private func choose(
    from choices: [JSONValue], path: String
  ) throws(ServiceConfigError) -> ServiceConfig? {
    for (index, choice) in choices.enumerated() {
      let path = "\(path)[\(index)]"
      guard try fits(JSONReader(choice, path: path)) else { continue }
      guard case .object(let fields) = choice, let config = fields["serviceConfig"] else {
        throw ServiceConfigError(path: "\(path).serviceConfig", "missing")
      }
      return try ServiceConfig(json: config.canonical)
    }
    return nil
  }

  private func fits(_ choice: JSONReader) throws(ServiceConfigError) -> Bool {
    let languages = try strings(choice, "clientLanguage")
    if let languages, !languages.map({ $0.lowercased() }).contains(ServiceConfigChoice.language) {
      return false
    }
    // gRFC A2 writes clientHostname, grpc-go clientHostName.
    var hosts = try strings(choice, "clientHostname")
    if hosts == nil { hosts = try strings(choice, "clientHostName") }
    if let hosts, !hosts.contains(hostname) { return false }
    if let percentage = try choice.integer("percentage", in: 0...100) {
      return percentile < percentage
    }
    return true
  }

  /// Nil if absent or empty: then anything matches.
  private func strings(
    _ choice: JSONReader, _ name: String
  ) throws(ServiceConfigError) -> [String]? {
    guard let array = try choice.array(name), !array.isEmpty else { return nil }
    var strings: [String] = []
    for value in array {
      guard case .string(let string) = value else {
        throw ServiceConfigError(path: name, "a string is needed, not \(value.kind)")
      }
      strings.append(string)
    }
    return strings
  }
}
