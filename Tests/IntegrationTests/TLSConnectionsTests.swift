// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
#if TLS
  import FoundationEssentials
  import Glibc
  import GreeterStubs
  import ProcessSupport
  import SwiftProtobuf
  import TestCertificates
  import Testing
  import Trunkcall

  /// Connections over mutual TLS that come and go against one server process: handshake, a call,
  /// the end; every fifth is refused. `Scripts/measure-tls-memory` runs 10,000 and prints the
  /// curve.
  @Suite("TLS connections that come and go", .serialized, .timeLimit(.minutes(20)))
  struct TLSConnectionsTests {
    private struct Sample: CustomStringConvertible {
      var connections: Int
      var residentKiB: Int
      var descriptors: Int
      var description: String {
        "\(connections) connections: \(residentKiB) KiB, \(descriptors) descriptors"
      }
    }
    private let count =
      ProcessInfo.processInfo.environment["TRUNKCALL_TLS_CONNECTIONS"].flatMap { Int($0) } ?? 400

    @Test("leave nothing behind in the server: neither memory nor descriptors")
    func flat() async throws {
      let certificates = try await TestCertificates.make()
      let server = try ChildProcess(
        ChildProcess.built("greeter-server"),
        [
          "--host", "127.0.0.1", "--port", "0", "--no-register", "--log-level", "error",
          "--tls-cert", certificates.file("server.pem"), "--tls-key",
          certificates.file("server.key"), "--tls-client-ca", certificates.file("ca.pem"),
        ])
      let line = try #require(
        try await server.line(containing: "listening on", within: .seconds(30)))
      let port = try #require(line.split(separator: ":").last.flatMap { UInt16($0) })
      let idle = descriptors(server)
      var samples: [Sample] = []
      for _ in 0..<8 {
        try await connect(count / 8, port, certificates)
        // The server closes its side a moment later.
        let end = ContinuousClock.now + .seconds(10)
        while descriptors(server) > idle, ContinuousClock.now < end {
          try await Task.sleep(for: .milliseconds(5))
        }
        let sample = Sample(
          connections: (samples.last?.connections ?? 0) + count / 8,
          residentKiB: residentKiB(server), descriptors: descriptors(server))
        samples.append(sample)
        if count > 1_000 { print("tls-memory: \(sample)") }
      }
      let curve = samples.map(\.description).joined(separator: "\n")
      #expect(samples.allSatisfy { $0.descriptors <= idle }, "\(curve)")
      // A connection that stayed would cost tens of KiB; after a quarter everything has its size.
      let growth = samples[7].residentKiB - samples[1].residentKiB
      // A sanitizer keeps what was freed, which is no measure of the server's memory.
      let isSanitized = ProcessInfo.processInfo.environment["TRUNKCALL_SANITIZER"] != nil
      #expect(isSanitized || growth < 3 << 10, "\(curve)")
    }

    private func connect(
      _ count: Int, _ port: UInt16, _ certificates: TestCertificates
    ) async throws {
      let trust = TLSTrust.file(certificates.file("ca.pem"))
      let known = ClientTLS(
        trust: trust,
        identity: .files(
          certificates: certificates.file("client.pem"),
          privateKey: certificates.file("client.key")))
      try await withThrowingTaskGroup(of: Void.self) { group in
        for caller in 0..<4 {
          group.addTask {
            for number in stride(from: caller, to: count, by: 4) {
              let isRefused = number % 5 == 4
              try await withChannel(
                to: "ipv4:127.0.0.1:\(port)",
                security: .tls(isRefused ? ClientTLS(trust: trust) : known)
              ) { channel in
                let greeter = Helloworld_Greeter.Client(channel)
                do {
                  let reply = try await greeter.sayHello(
                    .with { $0.name = "world" }, options: CallOptions(timeout: .seconds(30)))
                  #expect(!isRefused && reply.message == "Hello world")
                } catch {
                  #expect(isRefused, "\(error)")
                }
              }
            }
          }
        }
        try await group.waitForAll()
      }
    }

    private func residentKiB(_ process: ChildProcess) -> Int {
      let status = FileManager.default.contents(atPath: "/proc/\(process.pid)/status") ?? Data()
      let line = String(decoding: status, as: UTF8.self).split(separator: "\n")
        .first { $0.hasPrefix("VmRSS:") }
      return line.flatMap { $0.split(whereSeparator: { !$0.isNumber }).first }.flatMap { Int($0) }
        ?? .max
    }
    private func descriptors(_ process: ChildProcess) -> Int {
      (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(process.pid)/fd").count) ?? -1
    }
  }
#endif
