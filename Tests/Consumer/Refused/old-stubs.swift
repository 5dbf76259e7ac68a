// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
//
// error: 'v1' is unavailable: these stubs are of an older release: run this release's
// protoc-gen-trunkcall again
import Trunkcall

private let stubFormat: Void = Trunkcall.StubFormat.v1
