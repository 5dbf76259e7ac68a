// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import FoundationEssentials
import Glibc
import ProcessSupport
import Testing

/// grpcio in its virtual environment, which `Scripts/setup test` makes. Missing: the tests fail.
enum Grpcio {
  private static let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")

  /// - Parameter script: A file in Tests/InteropTests/Python.
  static func start(
    _ role: String, _ arguments: String..., script: String = "peer.py",
    environment: [String: String] = [:]
  ) throws -> ChildProcess {
    let python =
      ProcessInfo.processInfo.environment["TRUNKCALL_PYTHON"] ?? root + "/.cache/venv/bin/python"
    try #require(access(python, X_OK) == 0, "no \(python): run Scripts/setup test")
    return try ChildProcess(
      python,
      ["-u", root + "/Tests/InteropTests/Python/" + script, role, root + "/Protos"] + arguments,
      environment: environment)
  }
}
