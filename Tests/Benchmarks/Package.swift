// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
//
// Programs that measure the library from outside, through its public face. Scripts/bench builds and
// drives them; the library's own package knows nothing of them.
import PackageDescription

let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

let trunkcall = Target.Dependency.product(name: "Trunkcall", package: "trunkcall")
let services = Target.Dependency.product(name: "TrunkServices", package: "trunkcall")
let consul = Target.Dependency.product(name: "TrunkConsul", package: "trunkcall")
let trunkProtobuf = Target.Dependency.product(name: "TrunkProtobuf", package: "trunkcall")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let protobuf = Target.Dependency.product(name: "SwiftProtobuf", package: "swift-protobuf")

func program(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .executableTarget(
    name: name, dependencies: ["BenchStubs", "BenchSupport", trunkcall, protobuf] + dependencies,
    swiftSettings: strict)
}

let package = Package(
  name: "trunkcall-benchmarks",
  platforms: [.macOS("26.0")],
  dependencies: [
    .package(name: "trunkcall", path: "../.."),
    .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-protobuf.git", from: "1.39.0", traits: []),
  ],
  targets: [
    .target(
      name: "BenchStubs", dependencies: [trunkcall, trunkProtobuf, protobuf],
      swiftSettings: strict),
    .target(
      name: "BenchServices", dependencies: ["BenchStubs", trunkcall, trunkProtobuf, protobuf],
      swiftSettings: strict),
    .target(name: "BenchSupport", swiftSettings: strict),
    program("bench-server", ["BenchServices", services]),
    program("bench-client", ["BenchServices"]),
    program("bench-tls", [trunkProtobuf]),
    program("bench-parts", [trunkProtobuf]),
    program("bench-recovery", [consul, services, logging]),
  ])
