// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

// A user of the library imports Trunkcall only.
@_exported public import TrunkDiscovery
@_exported public import TrunkWire

#if TLS
  @_exported public import TrunkTLS
#endif
