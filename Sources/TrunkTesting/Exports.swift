// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

// A stand-in for a channel belongs to the test kit, wherever it lives.
@_exported public import struct Trunkcall.InProcessChannel
