// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
#if ServiceLifecycle
  public import ServiceLifecycle

  /// Under the `ServiceLifecycle` trait: put it behind its server in a service group, which stops
  /// the last one first.
  extension ConsulRegistration: Service {}
#endif

extension ConsulRegistration {
  /// Runs `body`; a graceful shutdown of the service group that runs us begins ``shutDown()``.
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
