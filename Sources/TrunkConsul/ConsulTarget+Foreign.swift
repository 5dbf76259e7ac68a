// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery

extension ConsulTarget {
  /// Parameters that resolvers of other gRPC libraries have, and what does the same here.
  private static let foreign = [
    "ca": "a CA is in CONSUL_CACERT or ConsulTLS.caFile",
    "insecure": "TLS is in CONSUL_HTTP_SSL and CONSUL_HTTP_SSL_VERIFY, or in ConsulAgent",
    "limit": "every client would take the same instances; filter or near choose some of them",
    "max-backoff":
      "the back-off is 60 s at most, 5 s while no instance is known, and a call that finds no server "
      + "ends it",
    "scheme": "TLS is in CONSUL_HTTP_SSL, or in https:// of CONSUL_HTTP_ADDR",
    "timeout": "the deadline of a query is its wait and a margin; wait may be set",
  ]

  /// Says more than that the parameter is unknown.
  static func refuseForeign(_ target: Target) throws(TargetError) {
    for parameter in target.parameters {
      guard let instead = foreign[parameter.name] else { continue }
      throw target.error(
        .unknownParameter, column: parameter.column,
        "unknown parameter \"\(parameter.name)\": \(instead)")
    }
  }

  /// `health=healthy` is `passing`; nil: there is none.
  static func healthy(of target: Target) throws(TargetError) -> Bool? {
    guard let parameter = target.parameters.first(where: { $0.name == "health" }) else {
      return nil
    }
    guard parameter.value == "healthy" else {
      throw target.error(
        .badParameter, column: parameter.column,
        "parameter \"health\": allowed: healthy; ConsulOptions.allCriticalHold is for what turns "
          + "critical together, and passing=false has all")
    }
    return true
  }
}
