// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import FoundationEssentials
import ProcessSupport

/// The test CA and what it has signed, made by `Scripts/certs` where it is missing.
package struct TestCertificates: Sendable {
  package let folder: String

  private static let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
  private static let made = Task {
    let folder = root + "/.cache/certs"
    let script = try ChildProcess(root + "/Scripts/certs", [folder])
    guard try await script.exit(within: .seconds(60)) == 0 else {
      throw Failure(description: "Scripts/certs failed: \(script.text)")
    }
    return TestCertificates(folder: folder)
  }
  private struct Failure: Error, CustomStringConvertible { var description: String }

  package static func make() async throws -> TestCertificates { try await made.value }

  /// `folder/name`
  package func file(_ name: String) -> String { "\(folder)/\(name)" }

  package func bytes(_ name: String) -> [UInt8] {
    FileManager.default.contents(atPath: file(name)).map(Array.init) ?? []
  }
}
