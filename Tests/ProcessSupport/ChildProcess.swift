// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import FoundationEssentials
package import Glibc
import TrunkSockets

/// A program started by a test, killed by its pid when the test lets go of it. What it prints on
/// stdout and stderr goes to a file that the test reads.
package final class ChildProcess: Sendable {
  package let pid: pid_t
  private let output: String
  private let reaped = Locked<Int32?>(nil)

  /// Descriptors that the tests have inherited go to no child: what a child leaves behind would hold the
  /// pipe that the tests' output is read from, and its reader would wait for ever.
  private static let inheritsNothing: Void = {
    for descriptor in (STDERR_FILENO + 1)..<1_024 {
      let flags = fcntl(descriptor, F_GETFD)
      if flags >= 0 { _ = fcntl(descriptor, F_SETFD, flags | FD_CLOEXEC) }
    }
  }()

  package init(_ program: String, _ arguments: [String], environment: [String: String] = [:]) throws
  {
    output = "/tmp/trunkcall-\(getpid())-\(UUID().uuidString)"
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(
      &actions, STDOUT_FILENO, output, O_WRONLY | O_CREAT | O_APPEND, 0o600)
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
    _ = ChildProcess.inheritsNothing
    let merged = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    var words: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) } + [nil]
    var variables: [UnsafeMutablePointer<CChar>?] = merged.map { strdup("\($0)=\($1)") } + [nil]
    defer { for word in words + variables { free(word) } }
    var child: pid_t = 0
    let failure = posix_spawn(&child, program, &actions, nil, &words, &variables)
    guard failure == 0 else { throw SocketError("start of \(program)", errno: failure) }
    pid = child
  }

  deinit {
    if reaped.withLock({ $0 }) == nil {
      kill(pid, SIGKILL)
      waitpid(pid, nil, 0)
    }
    unlink(output)
  }

  package func signal(_ number: Int32) {
    if reaped.withLock({ $0 }) == nil { kill(pid, number) }
  }

  package var text: String {
    guard let data = FileManager.default.contents(atPath: output) else { return "" }
    return String(decoding: data, as: UTF8.self)
  }
  package var lines: [String] { text.split(separator: "\n").map(String.init) }

  /// The first line that contains `text`; one that has not come to its end yet does not count.
  package func line(containing text: String, within: Duration) async throws -> String? {
    let end = ContinuousClock.now + within
    while true {
      let whole = self.text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
      if let line = whole.first(where: { $0.contains(text) }) { return String(line) }
      if ContinuousClock.now > end { return nil }
      try await Task.sleep(for: .milliseconds(10))
    }
  }

  /// The exit code, or minus the signal; nil if it still runs then.
  package func exit(within: Duration) async throws -> Int32? {
    let end = ContinuousClock.now + within
    while true {
      if let code = poll() { return code }
      if ContinuousClock.now > end { return nil }
      try await Task.sleep(for: .milliseconds(10))
    }
  }

  private func poll() -> Int32? {
    reaped.withLock { code in
      if let code { return code }
      var status: Int32 = 0
      guard waitpid(pid, &status, WNOHANG) == pid else { return nil }
      let signal = status & 0x7f
      let result = signal == 0 ? (status >> 8) & 0xff : -signal
      code = result
      return result
    }
  }

  /// A program of this package, from the folder that the tests run from.
  package static func built(_ name: String) -> String {
    var path = [CChar](repeating: 0, count: 4096)
    let length = readlink("/proc/self/exe", &path, path.count - 1)
    let own = String(
      decoding: path.prefix(max(0, length)).map(UInt8.init(bitPattern:)), as: UTF8.self)
    return own.split(separator: "/").dropLast().reduce(into: "") { $0 += "/" + $1 } + "/" + name
  }
}

/// Ports that were free a moment ago. They are none of those that the system gives to sockets
/// without one (from 32768 on Linux), so that no connection or server takes them meanwhile.
package func freePorts(_ count: Int) async throws -> [UInt16] {
  let loop = EventLoopGroup.shared.next()
  var held: [ByteStreamListener] = []
  var taken = 0
  while held.count < count {
    do {
      held.append(
        try await ByteStreamListener.listen(
          on: .host("127.0.0.1", .random(in: 20_000..<32_000)), loop: loop))
    } catch  where taken < 100 { taken += 1 }
  }
  let ports = held.map(\.port)
  for listener in held { listener.close() }
  // The loop closes them: until then they would answer for whom is to listen there.
  await loop.perform {}
  return ports
}
