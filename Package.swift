// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import PackageDescription

#if canImport(Glibc)
  import Glibc
#endif

/// One settings block for every Swift target.
let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

/// How release programs are linked on Linux: docs/decisions/0015-programs-are-linked-small.md. Only
/// for programs that no other package builds: neither libraries' targets nor protoc-gen-trunkcall.
let small: [LinkerSetting] = [
  .unsafeFlags(
    [
      "-use-ld=lld", "-Xlinker", "-O2", "-Xlinker", "--icf=all",
      "-Xlinker", "--no-export-dynamic", "-Xlinker", "--no-eh-frame-hdr",
      "-Xlinker", "-T", "-Xlinker", "\(Context.packageDirectory)/Scripts/no-unwind-tables.ld",
    ] + (loadsPackedRelocations ? ["-Xlinker", "-z", "-Xlinker", "pack-relative-relocs"] : []),
    .when(platforms: [.linux], configuration: .release))
]
/// glibc loads DT_RELR from 2.36 on; an older one refuses to start such a program.
var loadsPackedRelocations: Bool {
  #if canImport(Glibc)
    // "glibc 2.36"
    let name = [CChar](unsafeUninitializedCapacity: 64) { buffer, count in
      count = min(
        confstr(Int32(_CS_GNU_LIBC_VERSION), buffer.baseAddress, buffer.count), buffer.count)
    }
    let version = String(decoding: name.dropLast().map(UInt8.init), as: UTF8.self)
      .split { !$0.isNumber }.compactMap { Int($0) }
    return !version.isEmpty && !version.lexicographicallyPrecedes([2, 36])
  #else
    return false
  #endif
}

let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let deque = Target.Dependency.product(name: "DequeModule", package: "swift-collections")
let protobuf = Target.Dependency.product(name: "SwiftProtobuf", package: "swift-protobuf")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let tls = Target.Dependency.target(name: "TrunkTLS", condition: .when(traits: ["TLS"]))
let lifecycle = Target.Dependency.product(
  name: "ServiceLifecycle", package: "swift-service-lifecycle",
  condition: .when(traits: ["ServiceLifecycle"]))

func library(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: strict)
}
func program(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .executableTarget(
    name: name, dependencies: dependencies + [arguments], swiftSettings: strict,
    linkerSettings: small)
}
func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .testTarget(name: name, dependencies: dependencies, swiftSettings: strict)
}
func stubs(_ name: String) -> Target {
  .target(
    name: name, dependencies: ["Trunkcall", "TrunkProtobuf", protobuf], path: "Tests/\(name)",
    swiftSettings: strict)
}

let package = Package(
  name: "trunkcall",
  platforms: [.macOS("26.0")],
  products: [
    .library(name: "Trunkcall", targets: ["Trunkcall"]),
    .library(name: "TrunkConsul", targets: ["TrunkConsul"]),
    .library(name: "TrunkProtobuf", targets: ["TrunkProtobuf"]),
    .library(name: "TrunkServices", targets: ["TrunkServices"]),
    .library(name: "TrunkTesting", targets: ["TrunkTesting"]),
    // For Tests/Fuzz alone.
    .library(name: "_FuzzTargets", targets: ["FuzzTargets"]),
    .executable(name: "protoc-gen-trunkcall", targets: ["protoc-gen-trunkcall"]),
    .executable(name: "greeter-server", targets: ["greeter-server"]),
    .executable(name: "greeter-client", targets: ["greeter-client"]),
    .executable(name: "interop-server", targets: ["interop-server"]),
    .executable(name: "interop-client", targets: ["interop-client"]),
  ],
  traits: [
    .trait(
      name: "ServiceLifecycle",
      description:
        "Conform servers, channels and registrations to swift-service-lifecycle's Service."),
    .trait(
      name: "TLS",
      description: "TLS and mutual TLS, for calls and for the Consul agent, by OpenSSL 3."),
    .default(enabledTraits: ["ServiceLifecycle", "TLS"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-collections.git", from: "1.6.0"),
    // Without BinaryDelimitedStreams, which brings the whole of Foundation: decision 18.
    .package(
      url: "https://github.com/apple/swift-protobuf.git", from: "1.39.0",
      traits: ["FieldMaskUtilities"]),
    .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.2"),
    .package(
      url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
  ],
  targets: [
    // C
    .systemLibrary(
      name: "CNGHTTP2", pkgConfig: "libnghttp2",
      providers: [.apt(["libnghttp2-dev"]), .brew(["libnghttp2"])]),
    .systemLibrary(
      name: "COpenSSL", pkgConfig: "openssl",
      providers: [.apt(["libssl-dev"]), .brew(["openssl@3"])]),
    .systemLibrary(
      name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"]), .brew(["zlib"])]),
    .target(
      name: "CTrunkLinux", linkerSettings: [.linkedLibrary("resolv", .when(platforms: [.linux]))]),

    // The library, from the bottom up; Scripts/check-imports holds the arrows.
    library("TrunkWire", ["CZlib", deque]),
    library("TrunkDiscovery", ["TrunkWire"]),
    library("TrunkHTTP2", ["TrunkWire", "CNGHTTP2", deque]),
    library("TrunkSockets", ["CTrunkLinux", deque]),
    library(
      "TrunkTLS",
      ["TrunkSockets", .target(name: "COpenSSL", condition: .when(traits: ["TLS"]))]),
    library(
      "Trunkcall",
      [
        "TrunkWire", "TrunkDiscovery", "TrunkHTTP2", "TrunkSockets", tls, logging, deque, lifecycle,
      ]),
    library(
      "TrunkConsul", ["TrunkWire", "TrunkDiscovery", "TrunkSockets", tls, logging, lifecycle]),
    library("TrunkProtobuf", ["Trunkcall", protobuf]),
    library("TrunkServices", ["Trunkcall", "TrunkProtobuf", "TrunkSockets", protobuf]),
    library(
      "TrunkTesting",
      ["Trunkcall", "TrunkWire", "TrunkDiscovery", "TrunkHTTP2", "TrunkSockets"]),

    // Programs
    .executableTarget(
      name: "protoc-gen-trunkcall",
      dependencies: [
        .product(name: "SwiftProtobufPluginLibrary", package: "swift-protobuf"), protobuf,
      ],
      swiftSettings: strict),
    library("GreeterStubs", ["Trunkcall", "TrunkProtobuf", protobuf]),
    library("GreeterSupport", [arguments, logging]),
    program(
      "greeter-server",
      [
        "Trunkcall", "TrunkConsul", "TrunkServices", "GreeterStubs", "GreeterSupport", logging,
        protobuf,
      ]),
    program(
      "greeter-client",
      [
        "Trunkcall", "TrunkConsul", "TrunkSockets", "GreeterStubs", "GreeterSupport", logging,
        protobuf,
      ]),
    // gRPC's interop tests: the cases in a library, so that tests run them as well.
    library("InteropStubs", ["Trunkcall", "TrunkProtobuf", protobuf]),
    library("InteropSupport", ["Trunkcall", "TrunkSockets", "InteropStubs", protobuf]),
    program(
      "interop-server",
      ["Trunkcall", "TrunkServices", "InteropSupport", "GreeterSupport", logging]),
    program("interop-client", ["Trunkcall", "InteropSupport", "GreeterSupport", logging]),

    // Generated code for tests: a service that does as it is told, and names hard to generate for.
    stubs("EchoStubs"),
    stubs("OddStubs"),

    // Tests mirror sources.
    tests("TrunkWireTests", ["TrunkWire"]),
    .target(
      name: "TestCertificates", dependencies: ["ProcessSupport"], path: "Tests/TestCertificates",
      swiftSettings: strict),
    tests(
      "TrunkTLSTests",
      [
        tls, .target(name: "COpenSSL", condition: .when(traits: ["TLS"])), "TestCertificates",
        "TrunkSockets",
      ]),
    .target(
      name: "StreamSupport", dependencies: ["TrunkHTTP2"], path: "Tests/StreamSupport",
      swiftSettings: strict),
    tests("TrunkHTTP2Tests", ["TrunkHTTP2", "TrunkWire", "StreamSupport"]),
    tests("TrunkDiscoveryTests", ["TrunkDiscovery", "TrunkWire"]),
    .target(name: "ScriptedDNS", path: "Tests/ScriptedDNS", swiftSettings: strict),
    tests("TrunkSocketsTests", ["TrunkSockets", "ScriptedDNS"]),
    tests(
      "TrunkcallResolverTests",
      ["Trunkcall", "TrunkDiscovery", "TrunkSockets", "TrunkTesting", "ScriptedDNS"]),
    tests(
      "TrunkcallTests",
      [
        "Trunkcall", "TrunkWire", "TrunkDiscovery", "TrunkHTTP2", "TrunkSockets", "TrunkTesting",
        "ProcessSupport", "StreamSupport", "TestCertificates", logging, deque, lifecycle,
      ]),
    tests("ConformanceTests", ["Trunkcall", "TrunkSockets", "TrunkWire", "TrunkTesting"]),
    tests("TrunkServicesTests", ["TrunkServices", "Trunkcall", "TrunkProtobuf", protobuf]),
    tests("GreeterSupportTests", ["GreeterSupport", arguments, logging]),
    tests(
      "TrunkConsulTests",
      [
        "TrunkConsul", "TrunkDiscovery", "TrunkSockets", "TrunkTesting", "ProcessSupport", logging,
        lifecycle,
      ]),
    .target(
      name: "ProcessSupport", dependencies: ["TrunkSockets", "TrunkTesting"],
      path: "Tests/ProcessSupport", swiftSettings: strict),
    .executableTarget(
      name: "attack-server", dependencies: ["Trunkcall", "TrunkSockets", "TrunkWire"],
      path: "Tests/attack-server", swiftSettings: strict),
    tests(
      "AttackTests",
      [
        "Trunkcall", "TrunkSockets", "TrunkTesting", "TrunkWire", "ProcessSupport",
        "attack-server",
      ]),
    .executableTarget(
      name: "leak-check",
      dependencies: [
        "CTrunkLinux", "Trunkcall", "TrunkConsul", "TrunkSockets", "TrunkTesting", logging,
      ],
      path: "Tests/leak-check", swiftSettings: strict),
    tests("LeakTests", ["ProcessSupport", "leak-check"]),
    // Run by Scripts/consul-cluster alone.
    .executableTarget(
      name: "consul-cluster",
      dependencies: [
        "Trunkcall", "TrunkConsul", "TrunkDiscovery", "TrunkServices", "TrunkSockets", "TrunkWire",
        "GreeterStubs", "GreeterSupport", "ProcessSupport", logging, protobuf,
      ],
      path: "Tests/consul-cluster", exclude: ["Python"], swiftSettings: strict),
    .target(
      name: "EchoService", dependencies: ["EchoStubs", "Trunkcall", "TrunkSockets", protobuf],
      path: "Tests/EchoService", swiftSettings: strict),
    .testTarget(
      name: "InteropTests",
      dependencies: [
        "EchoService", "EchoStubs", "GreeterStubs", "InteropStubs", "InteropSupport", "OddStubs",
        "ProcessSupport", "TestCertificates", "TrunkServices", "TrunkWire", "Trunkcall",
        "interop-client", "interop-server", protobuf,
      ],
      exclude: ["Python"], swiftSettings: strict),
    .target(
      name: "FuzzTargets",
      dependencies: [
        "StreamSupport", "TrunkConsul", "TrunkDiscovery", "TrunkHTTP2", "TrunkSockets", "TrunkWire",
        tls,
      ],
      path: "Tests/FuzzTargets", swiftSettings: strict),
    tests("FuzzReplayTests", ["FuzzTargets", "TrunkTesting", "Trunkcall"]),
    tests(
      "IntegrationTests",
      [
        "Trunkcall", "TrunkConsul", "TrunkDiscovery", "TrunkSockets", "TrunkWire", "GreeterStubs",
        "ProcessSupport", "TestCertificates", "TrunkTesting", "TrunkServices", "greeter-server",
        "greeter-client", logging, protobuf,
      ]),
    tests(
      "TrunkProtobufTests",
      [
        "TrunkProtobuf", "Trunkcall", "GreeterStubs", "EchoStubs", "OddStubs",
        "protoc-gen-trunkcall", protobuf,
      ]),
  ])
