// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkWire

extension ServiceConfig {
  /// The config as JSON in canonical form, keys sorted: what ``init(json:)-(String)`` reads. Fields
  /// that this library does not know are not kept.
  public var json: String { String(decoding: value.canonical, as: UTF8.self) }

  private var value: JSONValue {
    var fields: [String: JSONValue] = [:]
    if let balancers {
      fields["loadBalancingConfig"] = .array(
        balancers.map { choice in
          .object([choice.name: (try? JSONValue(parsing: choice.json)) ?? .object([:])])
        })
    }
    fields["loadBalancingPolicy"] = balancer.map { .string($0) }
    if let retryThrottling {
      fields["retryThrottling"] = .object([
        "maxTokens": .number(Double(retryThrottling.maxMilliTokens) / 1_000),
        "tokenRatio": .number(Double(retryThrottling.milliTokenRatio) / 1_000),
      ])
    }
    if let healthCheckService {
      fields["healthCheckConfig"] = .object(["serviceName": .string(healthCheckService)])
    }
    if let maxConnectionsPerSubchannel {
      fields["connectionScaling"] = .object([
        "maxConnectionsPerSubchannel": .number(Double(maxConnectionsPerSubchannel))
      ])
    }
    let configs = allMethods.map { name, config in config.value(name) }
    if !configs.isEmpty { fields["methodConfig"] = .array(configs) }
    return .object(fields)
  }
}

extension MethodConfig {
  fileprivate func value(_ path: String) -> JSONValue {
    // "/package.Service/Method", "/package.Service/" or "".
    let parts = path.split(separator: "/")
    var name: [String: JSONValue] = [:]
    name["service"] = parts.first.map { .string(String($0)) }
    if parts.count > 1 { name["method"] = .string(String(parts[1])) }
    var fields: [String: JSONValue] = ["name": .array([.object(name)])]
    fields["timeout"] = timeout.map(\.value)
    fields["waitForReady"] = waitForReady.map { .bool($0) }
    fields["maxRequestMessageBytes"] = maxRequestMessageBytes.map { .number(Double($0)) }
    fields["maxResponseMessageBytes"] = maxResponseMessageBytes.map { .number(Double($0)) }
    if let retryPolicy {
      fields["retryPolicy"] = .object([
        "maxAttempts": .number(Double(retryPolicy.maxAttempts)),
        "initialBackoff": retryPolicy.initialBackoff.value,
        "maxBackoff": retryPolicy.maxBackoff.value,
        "backoffMultiplier": .number(retryPolicy.backoffMultiplier),
        "retryableStatusCodes": codes(retryPolicy.retryableStatusCodes),
      ])
    }
    if let hedgingPolicy {
      fields["hedgingPolicy"] = .object([
        "maxAttempts": .number(Double(hedgingPolicy.maxAttempts)),
        "hedgingDelay": hedgingPolicy.hedgingDelay.value,
        "nonFatalStatusCodes": codes(hedgingPolicy.nonFatalStatusCodes),
      ])
    }
    return .object(fields)
  }

  private func codes(_ codes: Set<RPCError.Code>) -> JSONValue {
    .array(codes.sorted { $0.rawValue < $1.rawValue }.map { .number(Double($0.rawValue)) })
  }
}

extension Duration {
  /// proto3 JSON: `"1.5s"`.
  fileprivate var value: JSONValue {
    let (seconds, attoseconds) = components
    let nanoseconds = attoseconds / 1_000_000_000
    guard nanoseconds > 0 else { return .string("\(seconds)s") }
    var digits = String(nanoseconds)
    digits = String(repeating: "0", count: 9 - digits.count) + digits
    while digits.hasSuffix("0") { digits.removeLast() }
    return .string("\(seconds).\(digits)s")
  }
}
