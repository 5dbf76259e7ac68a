// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Why a channel sends its calls where it does, at one moment: `explain()` of a channel.
///
/// ```
/// consul:///helloworld is READY
/// resolver   consul 127.0.0.1:8500 answered 0.4 s ago: 3 instances, 2 passing (1 critical)
/// config     from the resolver: {"loadBalancingConfig":[{"round_robin":{}}]}
/// policy     round_robin READY
/// endpoint   10.0.0.7:50051 READY for 12 s: 3 calls in flight, 1204 made, 2 failed, 1.2 ms
/// endpoint   10.0.0.8:50051 TRANSIENT_FAILURE for 3.0 s: connection refused, next in 1.1 s
/// waiting    0 calls
/// ```
public struct ChannelExplanation: Sendable, Hashable {
  /// As the application wrote it, secrets redacted.
  public var target: String
  /// The channel's.
  public var state: ConnectivityState
  /// One line: what the resolver last reported or failed with, and when.
  public var resolver: String
  /// The service config in force as JSON; nil before the first resolution, unless that failed and the
  /// application has set one.
  public var serviceConfig: String?
  /// Where it comes from.
  public var configOrigin: ConfigOrigin
  /// Why the resolver's last config was refused; nil if it was not.
  public var configError: String?
  /// The policy in use; nil before the first resolution.
  public var policy: PolicyExplanation?
  /// In the order in which the policy opened them.
  public var endpoints: [EndpointExplanation]
  /// Calls that wait for a connection, or, if the service config has `connectionScaling`, for one with a
  /// free stream. Without it a call that waits for a stream is in flight (``CallCounts/inFlight``).
  public var waitingCalls: Int

  /// Where a service config comes from.
  public enum ConfigOrigin: String, Sendable, Hashable {
    /// With the resolver's endpoints.
    case resolver
    /// The channel's option `defaultServiceConfig`.
    case application
    /// There is none: gRPC's defaults hold.
    case none
  }

  /// Made by a channel.
  package init(
    target: String, state: ConnectivityState, resolver: String, serviceConfig: String?,
    configOrigin: ConfigOrigin, configError: String?, policy: PolicyExplanation?,
    endpoints: [EndpointExplanation], waitingCalls: Int
  ) {
    self.target = target
    self.state = state
    self.resolver = resolver
    self.serviceConfig = serviceConfig
    self.configOrigin = configOrigin
    self.configError = configError
    self.policy = policy
    self.endpoints = endpoints
    self.waitingCalls = waitingCalls
  }
}

/// One subchannel in a ``ChannelExplanation``.
public struct EndpointExplanation: Sendable, Hashable {
  /// The subchannel's name in the channel.
  public var id: SubchannelID
  /// With weight and attributes as the resolver last reported them.
  public var endpoint: Endpoint
  /// Of the connection.
  public var state: ConnectivityState
  /// How long it has been in that state.
  public var stateAge: Duration
  /// The last error of each address that failed since it last worked.
  public var errors: [String]
  /// Until the next attempt to connect; nil unless it waits for that.
  public var nextAttempt: Duration?
  /// Connections that take calls.
  public var connections: Int
  /// Calls of this channel.
  public var calls: CallCounts
  /// What the policies say of it, e.g. "ejected for 28 s".
  public var notes: [String]

  /// Made by a channel.
  package init(
    id: SubchannelID, endpoint: Endpoint, state: ConnectivityState, stateAge: Duration,
    errors: [String], nextAttempt: Duration?, connections: Int, calls: CallCounts, notes: [String]
  ) {
    self.id = id
    self.endpoint = endpoint
    self.state = state
    self.stateAge = stateAge
    self.errors = errors
    self.nextAttempt = nextAttempt
    self.connections = connections
    self.calls = calls
    self.notes = notes
  }
}
