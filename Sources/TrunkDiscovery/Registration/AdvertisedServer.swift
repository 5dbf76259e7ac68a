// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// A server as a registration in a registry needs it: its addresses, and what its health service
/// answers.
public protocol AdvertisedServer: AnyObject, Sendable {
  /// The addresses it accepts on; suspends until it listens.
  /// - Throws: the error that kept it from listening, or `CancellationError`.
  func listeningAddresses() async throws -> [Address]
  /// Sets what the health service answers for `name` (empty: the whole server).
  func setServing(_ name: String, _ serving: Bool) async
  /// What the health service answers for `name`; nil if nothing is set for it, or there is no
  /// health service. Default nil.
  func isServing(_ name: String) -> Bool?
  /// Whether it has a health service that a registry's check can call. Default true.
  var hasHealthService: Bool { get }
  /// What a registry's check has to use to connect. Default: plaintext.
  var checkedSecurity: CheckedSecurity { get }
  /// The calls that it has begun so far, a health service's included; nil if it does not count them.
  /// Default nil.
  var callsStarted: Int? { get }
}

extension AdvertisedServer {
  /// nil: no health service.
  public func isServing(_ name: String) -> Bool? { nil }
  /// True.
  public var hasHealthService: Bool { true }
  /// nil: not counted.
  public var callsStarted: Int? { nil }
  /// Plaintext.
  public var checkedSecurity: CheckedSecurity { CheckedSecurity() }
}

/// How a server secures its connections, as far as a health check has to know.
public struct CheckedSecurity: Sendable, Hashable {
  /// It accepts TLS only. Default false.
  public var usesTLS = false
  /// It refuses clients without a certificate. Default false.
  public var requiresClientCertificates = false
  /// Plaintext, no client certificates.
  public init() {}
}
