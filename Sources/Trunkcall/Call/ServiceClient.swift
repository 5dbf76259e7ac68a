// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// A generated client: who makes its calls, and what all of them are told.
public protocol ServiceClient: Sendable {
  /// Makes the calls: a channel, or a test's own.
  var invoker: any CallInvoker { get set }
  /// For every call; what a call brings of its own wins (``CallOptions/adding(_:)``).
  var options: CallOptions { get set }
  /// A client without options of its own.
  init(_ invoker: any CallInvoker)
}

extension ServiceClient {
  /// A copy whose calls have this timeout instead; nil for none.
  ///
  /// ```swift
  /// let response = try await greeter.with(timeout: .milliseconds(300)).sayHello(request)
  /// ```
  public func with(timeout: Duration?) -> Self {
    var copy = self
    copy.options.timeout = timeout
    return copy
  }

  /// A copy whose calls have these options over its own, as a call's own would be.
  public func with(options: CallOptions) -> Self {
    var copy = self
    copy.options = copy.options.adding(options)
    return copy
  }
}
