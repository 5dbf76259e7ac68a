// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// A generated client: what makes its calls, and the options of all of them.
public protocol ServiceClient: Sendable {
  /// Makes the calls: a channel, or a test's own.
  var invoker: any CallInvoker { get set }
  /// For every call; a field that a call sets itself wins (``CallOptions/adding(_:)``).
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

  /// A copy whose calls have these options; where both are set these win over the copy's own
  /// (``CallOptions/adding(_:)``).
  public func with(options: CallOptions) -> Self {
    var copy = self
    copy.options = copy.options.adding(options)
    return copy
  }
}
