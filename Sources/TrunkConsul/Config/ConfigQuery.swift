// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery

/// A key of Consul's KV store that holds a service config: `GET /v1/kv/:key` (Consul, KV Store). Equal
/// queries to one agent share one watch.
///
/// Always read in the mode `default`, whatever the instances are read in: the leader is asked again
/// only when the key changes.
package struct ConfigQuery: Sendable, Hashable {
  /// `trunkcall/orders`.
  package var key: String
  package var datacenter: String?
  package var namespace: String?
  package var partition: String?
  /// See ``ConsulQuery/wait``.
  package var wait = Duration.seconds(60)

  package init(_ key: String) { self.key = key }

  /// The request of one query. With `index` nil the agent answers at once.
  package func request(index: UInt64?, wait: Duration?) -> HTTPRequest {
    var request = HTTPRequest(.get, "v1", "kv")
    request.path += key.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    let optional = [("dc", datacenter), ("ns", namespace), ("partition", partition)]
    for case (let name, let value?) in optional { request.addQuery(name, value) }
    if let index { request.addQuery("index", String(index)) }
    if index != nil, let wait { request.addQuery("wait", ConsulDuration.milliseconds(wait)) }
    return request
  }

  /// What is wrong with a key; nil: nothing. An agent redirects a path with empty or dot segments to
  /// another one.
  package static func problem(_ key: String) -> String? {
    let segments = key.split(separator: "/", omittingEmptySubsequences: false)
    guard !segments.contains(where: { ["", ".", ".."].contains($0) }) else {
      return "a key has no slash at its ends, and no empty, \".\" or \"..\" part"
    }
    let controls = key.unicodeScalars.contains { $0.value < 0x20 || $0.value == 0x7F }
    return controls ? "a key has no control characters" : nil
  }
}

extension ConsulTarget {
  /// The key of `config=kv:path`; the options' key if the target has none; nil for `config=none`.
  static func configKey(
    of target: Target, default key: String?
  ) throws(TargetError) -> String? {
    guard let parameter = target.parameters.first(where: { $0.name == "config" }) else {
      guard let key else { return nil }
      guard let problem = ConfigQuery.problem(key) else { return key }
      throw target.error(
        .badParameter, column: target.endpointColumn, "serviceConfigKey \"\(key)\": \(problem)")
    }
    if parameter.value == "none" { return nil }
    guard parameter.value.hasPrefix("kv:"), parameter.value.count > 3 else {
      throw target.error(
        .badParameter, column: parameter.column,
        "parameter \"config\": allowed: kv:path/to/key, none")
    }
    let written = String(parameter.value.dropFirst(3))
    if let problem = ConfigQuery.problem(written) {
      throw target.error(
        .badParameter, column: parameter.column, "parameter \"config\": \(problem)")
    }
    return written
  }

  /// The query of the service config; nil if there is none.
  var configQuery: ConfigQuery? {
    guard let configKey else { return nil }
    var config = ConfigQuery(configKey)
    config.datacenter = query.datacenter ?? datacenters.first
    config.namespace = query.namespace
    config.partition = query.partition
    config.wait = query.wait
    return config
  }
}
