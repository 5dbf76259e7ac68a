// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// How a resolver divides its endpoints: the channel puts `priority_experimental` or
/// `weighted_target_experimental` around the policy that it would use without it, which then chooses
/// within each group (gRFC A56, A28). A service config does not have to know the groups.
///
/// An endpoint belongs to the group that its ``Endpoint/childPath`` names, the outermost first.
public enum EndpointGroups: Sendable, Hashable {
  /// Calls go to the first group that has a usable endpoint.
  case priorities([EndpointGroup])
  /// Calls are spread over the groups by their weights.
  case weighted([EndpointGroup])
}

/// One of ``EndpointGroups``.
public struct EndpointGroup: Sendable, Hashable {
  /// Unique among its neighbours; the element of ``Endpoint/childPath``.
  public var name: String
  /// Its share of the calls where the groups are weighted, at least 1; 0 counts as 1.
  public var weight: UInt32
  /// The groups within it; nil: the channel's policy chooses among its endpoints.
  public var groups: EndpointGroups?

  /// - Parameters: see the properties of the same names.
  public init(_ name: String, weight: UInt32 = 1, groups: EndpointGroups? = nil) {
    self.name = name
    self.weight = weight
    self.groups = groups
  }
}

extension EndpointGroups {
  /// The policy that makes the groups, with `inner` in each.
  func policy(around inner: BalancerChoice) -> BalancerChoice {
    let config: JSONValue
    let name: String
    switch self {
    case .priorities(let groups):
      name = Priority.name
      let children = groups.map { ($0.name, JSONValue.object(["config": $0.list(inner)])) }
      config = .object([
        "children": .object(Dictionary(children) { first, _ in first }),
        "priorities": .array(groups.map { .string($0.name) }),
      ])
    case .weighted(let groups):
      name = WeightedTarget.name
      let targets = groups.map { group in
        (
          group.name,
          JSONValue.object([
            "weight": .number(Double(max(1, group.weight))), "childPolicy": group.list(inner),
          ])
        )
      }
      config = .object(["targets": .object(Dictionary(targets) { first, _ in first })])
    }
    return BalancerChoice(name, json: config.canonical)
  }
}

extension EndpointGroup {
  /// A list of one policy (gRFC A24).
  fileprivate func list(_ inner: BalancerChoice) -> JSONValue {
    let choice = groups?.policy(around: inner) ?? inner
    return .array([.object([choice.name: (try? JSONValue(parsing: choice.json)) ?? .object([:])])])
  }
}
