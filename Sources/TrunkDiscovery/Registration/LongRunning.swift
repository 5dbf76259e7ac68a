// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Runs until its stop is asked for: a server, a registration.
///
/// `runUntilSignalled` starts them in order and stops them last first, each one fully before the
/// next. Under the `ServiceLifecycle` trait the same types conform to `Service` as well.
public protocol LongRunning: Sendable {
  /// Runs until ``shutDown()`` and returns when the stop is complete, or throws the error that
  /// ended it.
  /// Cancelling its task stops at once.
  func run() async throws
  /// Begins a graceful stop; returns at once. Calling it again changes nothing.
  func shutDown()
}
