// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
package import TrunkDiscovery

/// The queries that a target needs, and how their instances are divided.
package struct WatchPlan: Sendable, Hashable {
  /// One query, watched with an index of its own (Consul, Blocking Queries).
  package struct Part: Sendable, Hashable {
    /// The place of its instances in the groups; empty if there are none.
    package var path: [String]
    package var query: ConsulQuery
    /// Names it in notes; nil if it is the only one.
    package var label: String?
    package init(_ path: [String], _ query: ConsulQuery, label: String? = nil) {
      self.path = path
      self.query = query
      self.label = label
    }
  }

  /// Not empty.
  package var parts: [Part]
  /// Nil: one set.
  package var groups: EndpointGroups?
  /// For the note: what is special about it; nil: nothing.
  package var note: String?

  package init(_ parts: [Part], groups: EndpointGroups? = nil, note: String? = nil) {
    self.parts = parts
    self.groups = groups
    self.note = note
  }

  /// One service in several data centers, in order of preference.
  /// - Parameter datacenters: empty: the agent's own, or the query's.
  package init(_ query: ConsulQuery, datacenters: [String]) {
    guard datacenters.count > 1 else {
      self.init([Part([], query)])
      return
    }
    self.init(
      datacenters.map { name in
        var query = query
        query.datacenter = name
        return Part([name], query, label: name)
      }, groups: .priorities(datacenters.map { EndpointGroup($0) }))
  }
}
