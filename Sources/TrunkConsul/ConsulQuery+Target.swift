// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
private import TrunkWire

extension ConsulQuery {
  /// The target of a channel that calls the instances: `consul://agent,agent/service?parameters`.
  /// - Parameters:
  ///   - agents: `host[:port]`, in order of preference, see ``ConsulAgent/alternatives``; empty: the agent
  ///     of the resolver's options, which also has the token.
  ///   - serviceConfigKey: of the service config in Consul's KV store; nil: that of the resolver's options.
  public func target(agents: [String] = [], serviceConfigKey: String? = nil) -> String {
    let parameters = parameters + (serviceConfigKey.map { [("config", "kv:\($0)")] } ?? [])
    // The `@` behind a password, which is refused, stays: what is before it is not quoted.
    let authority = agents.map { URIEscape.encode($0) { "[]:@".utf8.contains($0) } }
    let query = parameters.map { name, value in
      value.isEmpty ? name : "\(name)=\(URIEscape.encode(value))"
    }
    return "consul://" + authority.joined(separator: ",") + "/" + URIEscape.encode(service)
      + (query.isEmpty ? "" : "?" + query.joined(separator: "&"))
  }

  /// In the order of names; an empty value is a flag.
  private var parameters: [(String, String)] {
    var parameters: [(String, String)] = []
    func add(_ name: String, _ value: String?) {
      if let value { parameters.append((name, value)) }
    }
    add("address", taggedAddress)
    if cached { add("cached", "") }
    if chain { add("chain", "") }
    if kind == .connect { add("connect", "") }
    if consistency == .consistent { add("consistent", "") }
    if !datacenters.isEmpty {
      // A comma divides names: one that has it is refused, as a list that ends with one.
      let cannotBe = datacenters.contains { $0.utf8.contains(UInt8(ascii: ",")) }
      add("dc", datacenters.joined(separator: ",") + (cannotBe ? "," : ""))
    }
    add("filter", filter)
    let defaults = ConsulQuery("")
    if kind == .prepared || interval != defaults.interval {
      add("interval", ConsulDuration.text(interval))
    }
    if consistency == .stale {
      add("max-stale", maxStale.map { $0 > .zero ? ConsulDuration.text($0) : "0s" } ?? "any")
      add("stale", "")
    }
    add("near", near)
    for pair in nodeMeta { add("node-meta", pair) }
    add("ns", namespace)
    add("partition", partition)
    if health == .any, kind != .prepared { add("passing", "false") }
    add("peer", peer)
    if kind == .prepared { add("prepared", "") }
    add("sg", samenessGroup)
    for tag in tags { add("tag", tag) }
    if wait != defaults.wait { add("wait", ConsulDuration.text(wait)) }
    if health == .warning { add("warning", "include") }
    return parameters
  }
}
