// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
#if ServiceLifecycle
  public import ServiceLifecycle

  extension GRPCServer: Service {}
  /// List it before the services that use it: a group stops the last one first.
  extension GRPCChannel: Service {}
#endif

/// Connects `run()` to the graceful shutdown of a swift-service-lifecycle group, if the trait is
/// on.
enum GracefulStop {
  static func observe(
    _ stop: @escaping @Sendable () -> Void, _ body: @escaping @Sendable () async throws -> Void
  ) async throws {
    #if ServiceLifecycle
      try await withGracefulShutdownHandler(operation: body, onGracefulShutdown: stop)
    #else
      try await body()
    #endif
  }
}
