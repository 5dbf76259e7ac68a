// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery

/// A check in the body of a registration (Consul, Agent Check API). Empty fields are left out.
package struct CheckDefinition: Sendable, Hashable, Encodable {
  /// Its id on the agent; sent if it is not the agent's own choice.
  package var id: String
  package var sendsID = false
  package var isTTL = false
  package var isMadeByAgent = true

  package var name: String?
  package var notes: String?
  package var grpc: String?
  package var tcp: String?
  package var udp: String?
  package var h2ping: String?
  package var http: String?
  package var method: String?
  package var header: [String: [String]]?
  package var body: String?
  package var ttl: String?
  package var aliasService: String?
  package var aliasNode: String?
  package var interval: String?
  package var timeout: String?
  package var deregisterAfter: String?
  package var status: String?
  package var grpcUseTLS: Bool?
  package var h2pingUseTLS: Bool?
  package var tlsSkipVerify: Bool?
  package var tlsServerName: String?
  package var successBeforePassing: Int?
  package var failuresBeforeCritical: Int?
  package var failuresBeforeWarning: Int?

  private enum CodingKeys: String, CodingKey {
    case checkID = "CheckID", name = "Name", notes = "Notes"
    case grpc = "GRPC", tcp = "TCP", udp = "UDP", h2ping = "H2PING", http = "HTTP"
    case method = "Method", header = "Header", body = "Body", ttl = "TTL"
    case aliasService = "AliasService", aliasNode = "AliasNode", interval = "Interval"
    case timeout = "Timeout", deregisterAfter = "DeregisterCriticalServiceAfter"
    case status = "Status", grpcUseTLS = "GRPCUseTLS", h2pingUseTLS = "H2PingUseTLS"
    case tlsSkipVerify = "TLSSkipVerify", tlsServerName = "TLSServerName"
    case successBeforePassing = "SuccessBeforePassing"
    case failuresBeforeCritical = "FailuresBeforeCritical"
    case failuresBeforeWarning = "FailuresBeforeWarning"
  }

  package func encode(to encoder: any Encoder) throws {
    var fields = encoder.container(keyedBy: CodingKeys.self)
    if sendsID { try fields.encode(id, forKey: .checkID) }
    try fields.encodeIfPresent(name, forKey: .name)
    try fields.encodeIfPresent(notes, forKey: .notes)
    try fields.encodeIfPresent(grpc, forKey: .grpc)
    try fields.encodeIfPresent(tcp, forKey: .tcp)
    try fields.encodeIfPresent(udp, forKey: .udp)
    try fields.encodeIfPresent(h2ping, forKey: .h2ping)
    try fields.encodeIfPresent(http, forKey: .http)
    try fields.encodeIfPresent(method, forKey: .method)
    try fields.encodeIfPresent(header, forKey: .header)
    try fields.encodeIfPresent(body, forKey: .body)
    try fields.encodeIfPresent(ttl, forKey: .ttl)
    try fields.encodeIfPresent(aliasService, forKey: .aliasService)
    try fields.encodeIfPresent(aliasNode, forKey: .aliasNode)
    try fields.encodeIfPresent(interval, forKey: .interval)
    try fields.encodeIfPresent(timeout, forKey: .timeout)
    try fields.encodeIfPresent(deregisterAfter, forKey: .deregisterAfter)
    try fields.encodeIfPresent(status, forKey: .status)
    try fields.encodeIfPresent(grpcUseTLS, forKey: .grpcUseTLS)
    try fields.encodeIfPresent(h2pingUseTLS, forKey: .h2pingUseTLS)
    try fields.encodeIfPresent(tlsSkipVerify, forKey: .tlsSkipVerify)
    try fields.encodeIfPresent(tlsServerName, forKey: .tlsServerName)
    try fields.encodeIfPresent(successBeforePassing, forKey: .successBeforePassing)
    try fields.encodeIfPresent(failuresBeforeCritical, forKey: .failuresBeforeCritical)
    try fields.encodeIfPresent(failuresBeforeWarning, forKey: .failuresBeforeWarning)
  }
}

extension CheckDefinition {
  /// The checks of an instance, each with an id that does not depend on the others' order.
  static func list(
    _ checks: [ConsulCheck], of instance: String, name: String, advertised: Address,
    security: CheckedSecurity, deregisterAfter: Duration?
  ) -> [CheckDefinition] {
    let checks = checks.filter { $0.kind != .none }
    var counts: [String: Int] = [:]
    return checks.map { check in
      var ending = check.id
      if ending == nil, checks.count > 1 {
        let kind = check.kindName
        counts[kind, default: 0] += 1
        ending = counts[kind] == 1 ? kind : "\(kind)-\(counts[kind] ?? 0)"
      }
      var made = CheckDefinition(
        check, id: "service:\(instance)" + (ending.map { ":\($0)" } ?? ""), name: name,
        advertised: advertised, security: security)
      made.sendsID = ending != nil
      if !made.isAlias { made.deregisterAfter = deregisterAfter.map(ConsulDuration.text) }
      return made
    }
  }

  /// The other instance's health decides about that one, not about this one's registration.
  private var isAlias: Bool { aliasService != nil || aliasNode != nil }

  private init(
    _ check: ConsulCheck, id: String, name: String, advertised: Address, security: CheckedSecurity
  ) {
    self.id = id
    isTTL = check.kind == .ttl
    isMadeByAgent = check.isMadeByAgent
    self.name = check.name
    notes = check.notes
    successBeforePassing = check.successBeforePassing == 0 ? nil : check.successBeforePassing
    failuresBeforeCritical = check.failuresBeforeCritical == 0 ? nil : check.failuresBeforeCritical
    failuresBeforeWarning = check.failuresBeforeWarning
    var tls: ConsulCheck.TLS?
    switch check.kind {
    case .grpc(let address):
      grpc = "\(address ?? advertised)/\(name)"
      tls = check.effectiveTLS(of: security)
      grpcUseTLS = tls == nil ? nil : true
    case .h2ping(let address):
      h2ping = "\(address ?? advertised)"
      tls = check.effectiveTLS(of: security)
      // With TLS unless told otherwise (consul#10690).
      h2pingUseTLS = tls == nil ? false : nil
    case .tcp(let address): tcp = "\(address ?? advertised)"
    case .udp(let address): udp = "\(address ?? advertised)"
    case .http(let request):
      http = request.url
      method = request.method
      header = request.headers.isEmpty ? nil : request.headers.mapValues { [$0] }
      body = request.body
      tls = check.tls
    case .ttl: ttl = ConsulDuration.text(check.interval)
    case .alias(let service, let node):
      aliasService = service
      aliasNode = node
    case .none: break
    }
    tlsSkipVerify = tls?.verifiesServer == false ? true : nil
    tlsServerName = tls?.serverName
    // Measured with 1.8.7: a TTL has no interval, an alias needs none, every other check does.
    switch check.kind {
    case .ttl, .alias, .none: break
    default:
      interval = ConsulDuration.text(check.interval)
      timeout = check.effectiveTimeout.map(ConsulDuration.text)
    }
  }
}
