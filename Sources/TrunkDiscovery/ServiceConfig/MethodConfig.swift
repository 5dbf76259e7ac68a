// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// One `methodConfig` of a service config. The application's setting for a call wins where it is
/// stricter (service_config.md).
public struct MethodConfig: Sendable, Hashable {
  /// The effective deadline is the earlier of this and the application's.
  public var timeout: Duration?
  /// Used only when the application did not set it.
  public var waitForReady: Bool?
  /// Bytes of one message sent; the effective limit is the smaller of this and the application's.
  public var maxRequestMessageBytes: Int?
  /// Bytes of one message received; the effective limit is the smaller of both.
  public var maxResponseMessageBytes: Int?
  /// At most one of `retryPolicy` and ``hedgingPolicy`` is there.
  public var retryPolicy: RetryPolicy?
  /// See ``HedgingPolicy``.
  public var hedgingPolicy: HedgingPolicy?

  /// A config that sets nothing but the given fields.
  public init(
    timeout: Duration? = nil, waitForReady: Bool? = nil, maxRequestMessageBytes: Int? = nil,
    maxResponseMessageBytes: Int? = nil, retryPolicy: RetryPolicy? = nil,
    hedgingPolicy: HedgingPolicy? = nil
  ) {
    self.timeout = timeout
    self.waitForReady = waitForReady
    self.maxRequestMessageBytes = maxRequestMessageBytes
    self.maxResponseMessageBytes = maxResponseMessageBytes
    self.retryPolicy = retryPolicy
    self.hedgingPolicy = hedgingPolicy
  }

  init(_ fields: JSONReader) throws(ServiceConfigError) {
    let bytes = MethodConfig.bytes
    timeout = try fields.duration("timeout")
    waitForReady = try fields.bool("waitForReady")
    maxRequestMessageBytes = try fields.integer("maxRequestMessageBytes", in: bytes)
    maxResponseMessageBytes = try fields.integer("maxResponseMessageBytes", in: bytes)
    retryPolicy = try fields.object("retryPolicy").map(RetryPolicy.init)
    hedgingPolicy = try fields.object("hedgingPolicy").map(HedgingPolicy.init)
    try check(fields.path)
  }

  func check(_ path: String) throws(ServiceConfigError) {
    guard retryPolicy == nil || hedgingPolicy == nil else {
      throw ServiceConfigError(path: path, "retryPolicy and hedgingPolicy exclude each other")
    }
    if let timeout, timeout < .zero {
      throw ServiceConfigError(path: "\(path).timeout", "0s and more is needed")
    }
    for (name, limit) in [
      ("maxRequestMessageBytes", maxRequestMessageBytes),
      ("maxResponseMessageBytes", maxResponseMessageBytes),
    ] {
      guard let limit, !MethodConfig.bytes.contains(limit) else { continue }
      throw ServiceConfigError(
        path: "\(path).\(name)", "0...\(MethodConfig.bytes.upperBound) is needed")
    }
  }

  private static let bytes = 0...Int(UInt32.max)
}
