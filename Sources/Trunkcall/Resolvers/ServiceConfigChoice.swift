// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery

/// Chooses the service config for this client from `grpc_config=` TXT records (gRFC A2): the first
/// choice whose language, host name and percentage all match.
struct ServiceConfigChoice {
  /// What `clientLanguage` must list, in any case.
  static let language = "swift"
  private static let prefix = Array("grpc_config=".utf8)

  /// This machine, for `clientHostname`.
  var hostname: String
  /// 0..<100, drawn for each look-up: `percentage` must be above it.
  var percentile: Int

  /// Nil if no record begins with `grpc_config=`, or no choice fits.
  func choose(from texts: [[UInt8]]) throws(ServiceConfigError) -> ServiceConfig? {
    guard let text = texts.first(where: { $0.starts(with: ServiceConfigChoice.prefix) }) else {
      return nil
    }
    let json = try JSONValue(parsing: Array(text.dropFirst(ServiceConfigChoice.prefix.count)))
    guard case .array(let choices) = json else {
      throw ServiceConfigError(path: "grpc_config", "an array is needed, not \(json.kind)")
    }
    for (index, choice) in choices.enumerated() {
      let path = "grpc_config[\(index)]"
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
