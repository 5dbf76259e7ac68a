// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
//
// Scripts/consumer copies this, and the sources beside it, to a folder outside of the repository.
import PackageDescription

/// What a user's target may be built with: the same sources in each.
let settings: [String: [SwiftSetting]] = [
  "Swift5": [.swiftLanguageMode(.v5)],
  "Swift6": [.swiftLanguageMode(.v6)],
  "OnMainActor": [.defaultIsolation(MainActor.self)],
  "OnMainActor5": [.swiftLanguageMode(.v5), .defaultIsolation(MainActor.self)],
  "WithExistentialAny": [.enableUpcomingFeature("ExistentialAny")],
  "WithInternalImportsByDefault": [.enableUpcomingFeature("InternalImportsByDefault")],
  "WithMemberImportVisibility": [.enableUpcomingFeature("MemberImportVisibility")],
  "WithInferIsolatedConformances": [.enableUpcomingFeature("InferIsolatedConformances")],
  "WithNonisolatedNonsendingByDefault": [
    .enableUpcomingFeature("NonisolatedNonsendingByDefault")
  ],
  "WithAll": [
    .defaultIsolation(MainActor.self), .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InferIsolatedConformances"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  ],
]
/// Stubs that are public, in a target of their own.
let stubs: [String: [SwiftSetting]] = [
  "ConsumerStubs": [],
  "ConsumerStubsWithInternalImports": [.enableUpcomingFeature("InternalImportsByDefault")],
]
let products: [Target.Dependency] = [
  .product(name: "Trunkcall", package: "trunkcall"),
  .product(name: "TrunkConsul", package: "trunkcall"),
  .product(name: "TrunkProtobuf", package: "trunkcall"),
  .product(name: "TrunkServices", package: "trunkcall"),
  .product(name: "SwiftProtobuf", package: "swift-protobuf"),
  .product(name: "Logging", package: "swift-log"),
]
/// Examples may be about tests.
let documented = products + [.product(name: "TrunkTesting", package: "trunkcall")]

var targets: [Target] = [
  .executableTarget(name: "greeter", dependencies: products),
  .executableTarget(
    name: "consumer",
    dependencies: (settings.keys + ["StubsApart", "StubsApartOnMainActor"]).sorted().map {
      .target(name: $0)
    }),
  .target(
    name: "StubsApart", dependencies: products + ["ConsumerStubs"],
    swiftSettings: [.define("STUBS_APART")]),
  .target(
    name: "StubsApartOnMainActor", dependencies: products + ["ConsumerStubs"],
    swiftSettings: [.define("STUBS_APART"), .defaultIsolation(MainActor.self)]),
  .target(name: "Documents", dependencies: documented),
  .target(name: "Documents5", dependencies: documented, swiftSettings: [.swiftLanguageMode(.v5)]),
  .target(
    name: "DocumentsOnMainActor", dependencies: documented,
    swiftSettings: [.defaultIsolation(MainActor.self)]),
  .testTarget(
    name: "GreeterTests",
    dependencies: ["Swift6", .product(name: "TrunkTesting", package: "trunkcall")]),
]
for (name, setting) in settings.merging(stubs, uniquingKeysWith: { one, _ in one }) {
  targets.append(.target(name: name, dependencies: products, swiftSettings: setting))
}

let package = Package(
  name: "greeter",
  dependencies: [
    .package(path: "../trunkcall"),
    .package(url: "https://github.com/apple/swift-protobuf.git", from: "1.39.0"),
    .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
  ],
  targets: targets)
