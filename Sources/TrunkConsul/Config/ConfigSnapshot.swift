// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
package import TrunkDiscovery

/// What a key holds; nil: there is no such key.
package typealias ConfigWatchState = ValueWatchState<[UInt8]?>

/// The service config of one key at one moment, as its watch publishes it.
package struct ConfigSnapshot: Sendable, Hashable {
  /// nil: the key is missing, or was never read, or its value has no config for this client.
  package var config: ServiceConfig?
  /// Why the value was refused (gRFC A21: the channel keeps the config before it).
  package var error: ServiceConfigError?
  /// For the resolver's note: `config from kv:orders`, `no config at kv:orders`.
  package var note: String
}

extension ConfigQuery {
  func source(_ client: AgentClient) -> ValueWatch<[UInt8]?>.Source {
    ValueWatch<[UInt8]?>.Source(
      wait: wait, request: { request(index: $0, wait: $1) }, missing: 404,
      value: { try client.value(of: $0) }, isMissing: { $0 == nil },
      failure: { PollSchedule.Failure($0) })
  }
}
