// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Glibc

/// A small file that only this user's programs may change, replaced as a whole. Its calls block.
package struct PrivateFile: Sendable, Hashable {
  package var path: String

  package init(_ path: String) { self.path = path }

  /// The content; nil if there is no such file.
  /// - Throws: ``SocketError`` also for what is no regular file, is a symbolic link, belongs to another
  ///   user than this one or root, may be written by others, or is longer than `limit` bytes.
  package func read(limit: Int) throws(SocketError) -> [UInt8]? {
    let file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
    guard file >= 0 else {
      if errno == ENOENT { return nil }
      throw SocketError("open")
    }
    defer { close(file) }
    var facts = stat()
    guard fstat(file, &facts) == 0 else { throw SocketError("fstat") }
    guard facts.st_mode & S_IFMT == S_IFREG else {
      throw SocketError("open", errno: EINVAL, detail: "it is no regular file")
    }
    guard facts.st_uid == geteuid() || facts.st_uid == 0, facts.st_mode & 0o022 == 0 else {
      throw SocketError(
        "open", errno: EPERM, detail: "another user owns it, or may write it; not used")
    }
    guard facts.st_size <= limit else {
      throw SocketError("open", errno: EFBIG, detail: "it is longer than \(limit) bytes")
    }
    var content: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 64 << 10)
    while content.count <= limit {
      let count = Glibc.read(file, &part, part.count)
      if count == 0 { return content }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw SocketError("read") }
      content += part[..<count]
    }
    throw SocketError("read", errno: EFBIG, detail: "it is longer than \(limit) bytes")
  }

  /// Writes a new file beside it, mode 0600, and renames that: who reads gets the old content or the
  /// new one, whole, whichever process of several came last. Its folder is made, mode 0700, if its
  /// parent is there.
  package func replace(with content: [UInt8]) throws(SocketError) {
    let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
    if !folder.isEmpty, mkdir(folder, 0o700) != 0, errno != EEXIST { throw SocketError("mkdir") }
    var name = Array("\(path).XXXXXX".utf8CString)
    let file = mkstemp(&name)  // mode 0600
    guard file >= 0 else { throw SocketError("open") }
    _ = fcntl(file, F_SETFD, FD_CLOEXEC)
    do throws(SocketError) {
      try PrivateFile.write(content, to: file)
      guard fsync(file) == 0 else { throw SocketError("fsync") }
      guard rename(name, path) == 0 else { throw SocketError("rename") }
      close(file)
    } catch {
      close(file)
      unlink(name)
      throw error
    }
  }

  private static func write(_ content: [UInt8], to file: CInt) throws(SocketError) {
    var rest = content[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw SocketError("write") }
      rest = rest.dropFirst(count)
    }
  }
}
