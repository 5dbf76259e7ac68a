// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CTrunkLinux
internal import Glibc

/// Host look-ups by the system (`getaddrinfo`: nsswitch, /etc/hosts, search domains), on helper
/// threads since it blocks.
package enum HostLookup {
  /// The addresses to connect to, in the system's order (RFC 6724); a literal is answered at once.
  /// - Throws: `SocketError` that says what the look-up said, `CancellationError`.
  package static func addresses(
    of destination: Destination, timeout: Duration
  ) async throws -> [SocketAddress] {
    if let address = try literal(destination) { return [address] }
    guard case .host(let host, let port) = destination else { return [] }
    return try await BlockingWork.run(timeout: timeout, "look-up of \(host)") {
      lookUp(host, port)
    }.get()
  }

  /// The address when no look-up is needed.
  package static func literal(_ destination: Destination) throws(SocketError) -> SocketAddress? {
    switch destination {
    case .host(let host, let port): SocketAddress(ip: host, port: port)
    case .unix(let path): try SocketAddress(unix: path)
    case .unixAbstract(let name): try SocketAddress(unix: name, abstract: true)
    }
  }

  /// What this machine calls itself; nil if it does not say.
  package static var localName: String? {
    var name = [CChar](repeating: 0, count: Int(HOST_NAME_MAX) + 1)
    guard gethostname(&name, name.count - 1) == 0 else { return nil }
    return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  private static func lookUp(_ host: String, _ port: UInt16) -> Result<[SocketAddress], SocketError>
  {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    hints.ai_flags = AI_ADDRCONFIG
    var list: UnsafeMutablePointer<addrinfo>?
    var status = getaddrinfo(host, String(port), &hints, &list)
    if status != 0 {
      // A machine with nothing but a loopback device has no "configured" address family.
      hints.ai_flags = 0
      status = getaddrinfo(host, String(port), &hints, &list)
    }
    guard status == 0 else {
      let reason = String(cString: gai_strerror(status))
      return .failure(
        SocketError("look-up", errno: 0, detail: "look-up of \(host): \(reason.lowercased())"))
    }
    defer { freeaddrinfo(list) }
    var addresses: [SocketAddress] = []
    var entry = list
    while let info = entry {
      if let address = info.pointee.ai_addr {
        addresses.append(SocketAddress(address, info.pointee.ai_addrlen))
      }
      entry = info.pointee.ai_next
    }
    return .success(addresses)
  }
}
