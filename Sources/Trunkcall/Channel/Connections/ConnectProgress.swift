// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Synchronization
internal import TrunkDiscovery
internal import TrunkSockets

/// The progress of a connection attempt: written on the connection's loop, read by the control loop
/// for the diagnostics of a call that fails meanwhile. Released with the attempt.
final class ConnectProgress: Sendable {
  private let address: Address
  private let isSecure: Bool
  private let began = Clock.now()
  /// `CLOCK_MONOTONIC` nanoseconds; 0 while it is under way.
  private let connected = Atomic<UInt64>(0)
  private let opened = Atomic<UInt64>(0)

  init(_ address: Address, isSecure: Bool) {
    self.address = address
    self.isSecure = isSecure
  }

  /// TCP is connected.
  func noteConnected() { connected.store(Clock.now(), ordering: .relaxed) }

  /// HTTP/2 can begin: after the TLS handshake, if there is one.
  func noteOpened() {
    guard isSecure, opened.load(ordering: .relaxed) == 0 else { return }
    opened.store(Clock.now(), ordering: .relaxed)
  }

  var attempt: Diagnostics.Attempt {
    let (connected, opened) = (
      connected.load(ordering: .relaxed), opened.load(ordering: .relaxed)
    )
    if opened > 0 {
      return Diagnostics.Attempt(address, .waitingForSettings(isSecure: true), since: opened)
    }
    if connected == 0 { return Diagnostics.Attempt(address, .connecting, since: began) }
    return Diagnostics.Attempt(
      address, isSecure ? .handshaking : .waitingForSettings(isSecure: false), since: connected)
  }
}
