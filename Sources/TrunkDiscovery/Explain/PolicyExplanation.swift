// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// What a load-balancing policy says of itself: for ``ChannelExplanation``.
public struct PolicyExplanation: Sendable, Hashable {
  /// As in the service config, e.g. `outlier_detection_experimental`.
  public var name: String
  /// As the policy last published it; nil where only its parent knows.
  public var state: ConnectivityState?
  /// One line each, e.g. "priority 2 is in use since priority 1 failed".
  public var notes: [String]
  /// One line for a subchannel, e.g. "ejected for 28 s".
  public var subchannels: [SubchannelID: String]
  /// The policies inside, in order.
  public var children: [Child]

  /// A policy inside of another one.
  public struct Child: Sendable, Hashable {
    /// The child's name in the parent's config; empty where there is only one.
    public var label: String
    /// What it says.
    public var policy: PolicyExplanation

    /// - Parameters: see the properties of the same names.
    public init(_ label: String = "", _ policy: PolicyExplanation) {
      self.label = label
      self.policy = policy
    }
  }

  /// - Parameters: see the properties of the same names.
  public init(
    _ name: String, state: ConnectivityState? = nil, notes: [String] = [],
    subchannels: [SubchannelID: String] = [:], children: [Child] = []
  ) {
    self.name = name
    self.state = state
    self.notes = notes
    self.subchannels = subchannels
    self.children = children
  }

  /// What any policy of the tree says of a subchannel, the outermost first.
  package func notes(of id: SubchannelID) -> [String] {
    (subchannels[id].map { [$0] } ?? []) + children.flatMap { $0.policy.notes(of: id) }
  }
}
