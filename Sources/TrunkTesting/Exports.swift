// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

// The in-process channel is part of the test kit, although it is in module Trunkcall.
@_exported public import struct Trunkcall.InProcessChannel
