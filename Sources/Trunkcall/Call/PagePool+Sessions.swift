// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkHTTP2
internal import TrunkSockets

extension PagePool: SessionPages {
  /// Shared by all connections of the process.
  static let sessions = PagePool(slotSize: SessionArena.size)
}
