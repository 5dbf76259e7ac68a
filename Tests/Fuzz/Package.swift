// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import PackageDescription

// A package of its own, so that nobody who uses Trunkcall builds a fuzzer. `Scripts/fuzz` builds it
// with `--sanitize=fuzzer`, which instruments the library as well.
let package = Package(
  name: "fuzz",
  dependencies: [.package(name: "trunkcall", path: "../..", traits: ["TLS"])],
  targets: [
    .executableTarget(
      name: "fuzz", dependencies: [.product(name: "_FuzzTargets", package: "trunkcall")],
      swiftSettings: [.swiftLanguageMode(.v6)])
  ])
