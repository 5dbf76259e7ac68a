// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
#if ServiceLifecycle
  public import ServiceLifecycle

  /// Under the `ServiceLifecycle` trait: list it after its server in a service group, which stops
  /// the last one first.
  extension ConsulRegistration: Service {}
#endif

extension ConsulRegistration {
  /// Runs `body`; a graceful shutdown of its service group calls ``shutDown()``.
  func stoppingWithItsGroup(_ body: () async throws -> Void) async throws {
    #if ServiceLifecycle
      try await withGracefulShutdownHandler {
        try await body()
      } onGracefulShutdown: {
        self.shutDown()
      }
    #else
      try await body()
    #endif
  }
}
