// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// What of a registration depends on the agent's version: an agent refuses the whole registration
/// for one field that it does not know (measured with 1.8.7).
extension ServiceDefinition {
  /// A kind of check that needs a version: left out, the instance would not be checked.
  struct Requirement: Sendable, Hashable {
    var feature: String
    var version: ConsulVersion
  }

  var dependsOnVersion: Bool { requirement != nil || !optionalFields.isEmpty }

  /// The highest version that a kind of check needs.
  var requirement: Requirement? {
    checks.compactMap { check -> Requirement? in
      if check.udp != nil { return Requirement(feature: "a UDP check", version: .udpChecks) }
      if check.aliasNode != nil {
        return Requirement(
          feature: "an alias check that names a node", version: .aliasChecksOfNodes)
      }
      guard check.h2ping != nil else { return nil }
      return check.h2pingUseTLS == false
        ? Requirement(feature: "an H2PING check without TLS", version: .h2pingWithoutTLS)
        : Requirement(feature: "an H2PING check", version: .h2pingChecks)
    }.max { $0.version < $1.version }
  }

  /// Fields that may be left out, each with the version that knows it.
  private var optionalFields: [(name: String, version: ConsulVersion)] {
    var fields: [(String, ConsulVersion)] = []
    for check in checks {
      if check.tlsServerName != nil { fields.append(("TLSServerName", .checksWithServerName)) }
      if check.body != nil { fields.append(("Body", .checksWithThresholds)) }
      if check.successBeforePassing != nil {
        fields.append(("SuccessBeforePassing", .checksWithThresholds))
      }
      if check.failuresBeforeCritical != nil {
        fields.append(("FailuresBeforeCritical", .checksWithThresholds))
      }
      if check.failuresBeforeWarning != nil {
        fields.append(("FailuresBeforeWarning", .checksWithWarningThreshold))
      }
    }
    return fields
  }

  /// Without the fields that an agent of this version does not know, and their names in order. A
  /// version that cannot be read is taken as an old one for fields, and as a new one for kinds of
  /// checks: the agent says itself what it does not know.
  func understood(by version: ConsulVersion?) -> (definition: ServiceDefinition, leftOut: [String])
  {
    let version = version ?? ConsulVersion(0, 0)
    var (definition, leftOut) = (self, [String]())
    for field in optionalFields where version < field.version && !leftOut.contains(field.name) {
      leftOut.append(field.name)
    }
    for index in definition.checks.indices {
      if version < .checksWithServerName { definition.checks[index].tlsServerName = nil }
      if version < .checksWithThresholds {
        definition.checks[index].body = nil
        definition.checks[index].successBeforePassing = nil
        definition.checks[index].failuresBeforeCritical = nil
      }
      if version < .checksWithWarningThreshold {
        definition.checks[index].failuresBeforeWarning = nil
      }
    }
    return (definition, leftOut)
  }
}
