// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
//
// The same server and client on grpc-swift-2. A package of its own: its build takes a quarter of an
// hour of processor time.
import PackageDescription

let dependencies: [Target.Dependency] = [
  "Messages",
  .product(name: "GRPCCore", package: "grpc-swift-2"),
  .product(name: "GRPCNIOTransportHTTP2", package: "grpc-swift-nio-transport"),
  .product(name: "GRPCProtobuf", package: "grpc-swift-protobuf"),
]

let package = Package(
  name: "grpc-swift-2-peer",
  platforms: [.macOS("26.0")],
  dependencies: [
    .package(url: "https://github.com/grpc/grpc-swift-2.git", exact: "2.4.3"),
    .package(url: "https://github.com/grpc/grpc-swift-nio-transport.git", exact: "2.9.2"),
    .package(url: "https://github.com/grpc/grpc-swift-protobuf.git", exact: "2.4.1"),
    .package(url: "https://github.com/apple/swift-protobuf.git", from: "1.39.0"),
  ],
  targets: [
    // The message types that the library's own programs use.
    .target(
      name: "Messages", dependencies: [.product(name: "SwiftProtobuf", package: "swift-protobuf")],
      swiftSettings: [.enableUpcomingFeature("InternalImportsByDefault")]),
    .executableTarget(name: "peer-server", dependencies: dependencies),
    .executableTarget(name: "peer-client", dependencies: dependencies),
  ])
