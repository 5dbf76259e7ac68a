// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// What the headers of an answer say of where it comes from and how old it is (Consul, Consistency
/// Modes, Agent Caching, Blocking Queries). Each may be missing: agents with streaming leave some out,
/// older ones do not have all.
package struct AnswerInfo: Sendable, Hashable {
  /// `X-Consul-KnownLeader`: whether the server that answered knows a leader; without one nothing is
  /// written, and what it has may be old.
  package var knowsLeader: Bool?
  /// `X-Consul-LastContact`, milliseconds: since that server heard of the leader.
  package var lastContact: Duration?
  /// `Age`, seconds: of an answer from the agent's cache; more than 0 while it is cut off from the
  /// servers.
  package var age: Duration?
  /// `X-Cache`: `HIT` or `MISS`.
  package var cache: String?
  /// `X-Consul-Query-Backend` (1.10): `streaming` or `blocking-query`.
  package var backend: String?
  /// `X-Consul-Effective-Consistency` (1.10).
  package var consistency: String?
  /// `X-Consul-Results-Filtered-By-ACLs` (1.11): instances are hidden.
  package var isFiltered = false
  /// `X-Consul-Default-ACL-Policy` (1.12): `allow` or `deny`.
  package var defaultPolicy: String?

  package init() {}

  package init(_ headers: HTTPHeaders) {
    knowsLeader = headers["x-consul-knownleader"].flatMap(AnswerInfo.flag)
    lastContact = headers["x-consul-lastcontact"].flatMap(AnswerInfo.number)
      .map { .milliseconds($0) }
    age = headers["age"].flatMap(AnswerInfo.number).map { .seconds($0) }
    cache = headers["x-cache"]
    backend = headers["x-consul-query-backend"]
    consistency = headers["x-consul-effective-consistency"]
    isFiltered = headers["x-consul-results-filtered-by-acls"].flatMap(AnswerInfo.flag) ?? false
    defaultPolicy = headers["x-consul-default-acl-policy"]?.lowercased()
  }

  private static func flag(_ text: String) -> Bool? {
    switch text.lowercased() {
    case "true": true
    case "false": false
    default: nil
    }
  }

  /// At most ten years, so that no sum of times overflows.
  private static func number(_ text: String) -> Int64? {
    Int64(text).flatMap { (0...315_360_000_000).contains($0) ? $0 : nil }
  }
}

extension AnswerInfo {
  /// For the resolver's note; without figures, which change with every answer.
  package var remark: String? {
    (age ?? .zero) > .zero ? "from the agent's cache, which is cut off from the servers" : nil
  }

  /// What an operator may want to know of an answer; nil of a usual one.
  package var notable: String? {
    knowsLeader == false || (lastContact ?? .zero) > .seconds(1) || (age ?? .zero) > .zero
      ? description : nil
  }
}

extension AnswerInfo: CustomStringConvertible {
  /// For log lines: what is known, nothing else.
  package var description: String {
    var facts: [String] = []
    if let knowsLeader { facts.append(knowsLeader ? "leader known" : "no leader known") }
    if let lastContact { facts.append("last contact \(ConsulDuration.text(lastContact)) ago") }
    if let cache { facts.append("cache \(cache)") }
    if let age { facts.append("age \(ConsulDuration.text(age))") }
    if let backend { facts.append("by \(backend)") }
    if let consistency { facts.append("consistency \(consistency)") }
    if isFiltered { facts.append("filtered by ACLs") }
    return facts.joined(separator: ", ")
  }
}
