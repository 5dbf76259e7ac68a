// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// One `methodConfig` of a service config. What the application says for a call wins where it is
/// stricter (5.3 line 10).
public struct MethodConfig: Sendable, Hashable {
  /// The effective deadline is the earlier of this and the application's.
  public var timeout: Duration?
  /// Used only when the application did not say.
  public var waitForReady: Bool?
  /// Bytes of one message sent; the effective limit is the smaller of this and the application's.
  public var maxRequestMessageBytes: Int?
  /// Bytes of one message received; the effective limit is the smaller of both.
  public var maxResponseMessageBytes: Int?
  /// At most one of `retryPolicy` and ``hedgingPolicy`` is there.
  public var retryPolicy: RetryPolicy?
  public var hedgingPolicy: HedgingPolicy?

  public init() {}

  init(_ fields: JSONReader) throws(ServiceConfigError) {
    let bytes = 0...Int(UInt32.max)
    timeout = try fields.duration("timeout")
    waitForReady = try fields.bool("waitForReady")
    maxRequestMessageBytes = try fields.integer("maxRequestMessageBytes", in: bytes)
    maxResponseMessageBytes = try fields.integer("maxResponseMessageBytes", in: bytes)
    retryPolicy = try fields.object("retryPolicy").map(RetryPolicy.init)
    hedgingPolicy = try fields.object("hedgingPolicy").map(HedgingPolicy.init)
    guard retryPolicy == nil || hedgingPolicy == nil else {
      throw ServiceConfigError(
        path: fields.path, "retryPolicy and hedgingPolicy exclude each other")
    }
  }
}
