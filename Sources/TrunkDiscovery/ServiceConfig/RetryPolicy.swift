// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import TrunkWire

/// `retryPolicy` of a method (gRFC A6): further attempts one after the other.
public struct RetryPolicy: Sendable, Hashable {
  /// Counts the original; at least 2, as written: the channel's cap (5) is applied when it is used.
  public var maxAttempts: Int
  /// The delay before the second attempt, ±20 %; more than zero.
  public var initialBackoff: Duration
  /// The delay does not grow beyond this, ±20 %; more than zero.
  public var maxBackoff: Duration
  /// The delay's factor from attempt to attempt; more than 0.
  public var backoffMultiplier: Double
  /// A status of these is retried; never empty.
  public var retryableStatusCodes: Set<RPCError.Code>

  /// - Throws: ``ServiceConfigError`` for what the JSON form does not allow either: fewer than 2
  ///   attempts, a back-off or multiplier of zero, no status code.
  public init(
    maxAttempts: Int, initialBackoff: Duration, maxBackoff: Duration,
    backoffMultiplier: Double = 1.6, retryableStatusCodes: Set<RPCError.Code>
  ) throws(ServiceConfigError) {
    self.maxAttempts = maxAttempts
    self.initialBackoff = initialBackoff
    self.maxBackoff = maxBackoff
    self.backoffMultiplier = backoffMultiplier
    self.retryableStatusCodes = retryableStatusCodes
    try check("retryPolicy")
  }

  private func check(_ path: String) throws(ServiceConfigError) {
    func need(_ isGood: Bool, _ name: String, _ reason: String) throws(ServiceConfigError) {
      guard isGood else { throw ServiceConfigError(path: "\(path).\(name)", reason) }
    }
    try need(maxAttempts >= 2, "maxAttempts", "2 and more is needed")
    try need(initialBackoff > .zero, "initialBackoff", "more than 0s is needed")
    try need(maxBackoff > .zero, "maxBackoff", "more than 0s is needed")
    // NaN is not above either.
    try need(backoffMultiplier > 0, "backoffMultiplier", "more than 0 is needed")
    try need(
      !retryableStatusCodes.isEmpty, "retryableStatusCodes", "at least one status code is needed")
  }

  init(_ fields: JSONReader) throws(ServiceConfigError) {
    maxAttempts = try fields.attempts()
    initialBackoff = try fields.positiveDuration("initialBackoff")
    maxBackoff = try fields.positiveDuration("maxBackoff")
    backoffMultiplier = try fields.required(
      "backoffMultiplier", fields.number("backoffMultiplier"))
    retryableStatusCodes = try fields.codes("retryableStatusCodes") ?? []
    try check(fields.path)
  }
}

/// `hedgingPolicy` of a method (gRFC A6): several attempts at the same time.
public struct HedgingPolicy: Sendable, Hashable {
  /// Counts the original; at least 2, as written: the channel's cap (5) is applied when it is used.
  public var maxAttempts: Int
  /// Between the starts of two attempts; zero sends all at once.
  public var hedgingDelay: Duration
  /// A status of these lets the other attempts go on; any other one ends the call.
  public var nonFatalStatusCodes: Set<RPCError.Code>

  /// - Throws: ``ServiceConfigError`` for fewer than 2 attempts or a delay below zero.
  public init(
    maxAttempts: Int, hedgingDelay: Duration = .zero, nonFatalStatusCodes: Set<RPCError.Code> = []
  ) throws(ServiceConfigError) {
    guard maxAttempts >= 2 else {
      throw ServiceConfigError(path: "hedgingPolicy.maxAttempts", "2 and more is needed")
    }
    guard hedgingDelay >= .zero else {
      throw ServiceConfigError(path: "hedgingPolicy.hedgingDelay", "0s and more is needed")
    }
    self.maxAttempts = maxAttempts
    self.hedgingDelay = hedgingDelay
    self.nonFatalStatusCodes = nonFatalStatusCodes
  }

  init(_ fields: JSONReader) throws(ServiceConfigError) {
    maxAttempts = try fields.attempts()
    hedgingDelay = try fields.duration("hedgingDelay") ?? .zero
    nonFatalStatusCodes = try fields.codes("nonFatalStatusCodes") ?? []
  }
}

/// `retryThrottling` (gRFC A6): no retries while too many calls fail. In thousandths: A6 keeps
/// three decimals.
public struct RetryThrottling: Sendable, Hashable {
  /// The bucket's size, 1...1,000,000 thousandths.
  public var maxMilliTokens: Int
  /// What a successful call adds to the bucket, in thousandths of a token; at least 1.
  public var milliTokenRatio: Int

  /// - Parameters:
  ///   - maxTokens: more than 0 and at most 1000.
  ///   - tokenRatio: at least 0.001: what a call that succeeds adds; one that fails takes 1.
  /// - Throws: ``ServiceConfigError`` for others.
  public init(maxTokens: Double, tokenRatio: Double) throws(ServiceConfigError) {
    try self.init(maxTokens: maxTokens, tokenRatio: tokenRatio, path: "retryThrottling")
  }

  init(_ fields: JSONReader) throws(ServiceConfigError) {
    try self.init(
      maxTokens: fields.required("maxTokens", fields.number("maxTokens")),
      tokenRatio: fields.required("tokenRatio", fields.number("tokenRatio")), path: fields.path)
  }

  private init(
    maxTokens tokens: Double, tokenRatio ratio: Double, path: String
  ) throws(ServiceConfigError) {
    guard tokens > 0, tokens <= 1000, let milli = Int(exactly: (tokens * 1000).rounded(.down)),
      milli > 0
    else {
      throw ServiceConfigError(
        path: "\(path).maxTokens", "more than 0 and at most 1000 is needed")
    }
    guard ratio >= 0.001, ratio <= 1_000_000,
      // 0.001 * 1000 is a hair above 1 in binary, 0.009 * 1000 a hair below 9.
      let milliRatio = Int(exactly: (ratio * 1000 + 1e-6).rounded(.down))
    else { throw ServiceConfigError(path: "\(path).tokenRatio", "at least 0.001 is needed") }
    maxMilliTokens = milli
    milliTokenRatio = milliRatio
  }
}

extension JSONReader {
  fileprivate func attempts() throws(ServiceConfigError) -> Int {
    try required("maxAttempts", integer("maxAttempts", in: 2...Int.max))
  }

  fileprivate func positiveDuration(_ name: String) throws(ServiceConfigError) -> Duration {
    let duration = try required(name, duration(name))
    guard duration > .zero else { throw error(name, "more than 0s is needed") }
    return duration
  }

  /// Status codes as numbers or names in any case (gRFC A6).
  fileprivate func codes(_ name: String) throws(ServiceConfigError) -> Set<RPCError.Code>? {
    guard let values = try array(name) else { return nil }
    var codes: Set<RPCError.Code> = []
    for (i, value) in values.enumerated() {
      let code: RPCError.Code? =
        switch value {
        case .number(let number): Int(exactly: number).flatMap(RPCError.Code.init(rawValue:))
        case .string(let string): statusNames[string.uppercased()]
        default: nil
        }
      guard let code else {
        throw error("\(name)[\(i)]", "no status code; allowed: 1...16 or a name like UNAVAILABLE")
      }
      codes.insert(code)
    }
    return codes
  }
}

private let statusNames: [String: RPCError.Code] = [
  "CANCELLED": .cancelled, "UNKNOWN": .unknown, "INVALID_ARGUMENT": .invalidArgument,
  "DEADLINE_EXCEEDED": .deadlineExceeded, "NOT_FOUND": .notFound,
  "ALREADY_EXISTS": .alreadyExists, "PERMISSION_DENIED": .permissionDenied,
  "RESOURCE_EXHAUSTED": .resourceExhausted, "FAILED_PRECONDITION": .failedPrecondition,
  "ABORTED": .aborted, "OUT_OF_RANGE": .outOfRange, "UNIMPLEMENTED": .unimplemented,
  "INTERNAL": .internal, "UNAVAILABLE": .unavailable, "DATA_LOSS": .dataLoss,
  "UNAUTHENTICATED": .unauthenticated,
]
