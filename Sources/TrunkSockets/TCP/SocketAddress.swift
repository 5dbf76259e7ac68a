// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CTrunkLinux
internal import Glibc

/// Where to connect or listen, before any look-up.
package enum Destination: Sendable, Hashable {
  /// Name or IP literal (no brackets), and port.
  case host(String, UInt16)
  /// A path.
  case unix(String)
  /// Linux's abstract namespace, without the leading NUL.
  case unixAbstract(String)
}

extension Destination: CustomStringConvertible {
  package var description: String {
    switch self {
    case .host(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    case .unix(let path): "unix:\(path)"
    case .unixAbstract(let name): "unix-abstract:\(name)"
    }
  }
}

/// A `sockaddr` of one of the three families.
package struct SocketAddress: Sendable {
  var storage = sockaddr_storage()
  var length: socklen_t = 0

  /// Nil unless `ip` is a literal; an IPv6 address may have a zone, the name or number of a network
  /// interface (`fe80::1%eth0`, RFC 4007 §11), nil as well if there is no such interface.
  package init?(ip: String, port: UInt16) {
    var v4 = in_addr()
    var v6 = in6_addr()
    if inet_pton(AF_INET, ip, &v4) == 1 {
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_port = port.bigEndian
      address.sin_addr = v4
      assign(address)
    } else if inet_pton(AF_INET6, SocketAddress.withoutZone(ip), &v6) == 1 {
      var address = sockaddr_in6()
      address.sin6_family = sa_family_t(AF_INET6)
      address.sin6_port = port.bigEndian
      address.sin6_addr = v6
      if let zone = SocketAddress.zone(of: ip) {
        address.sin6_scope_id = UInt32(zone) ?? if_nametoindex(zone)
        if address.sin6_scope_id == 0, zone != "0" { return nil }
      }
      assign(address)
    } else {
      return nil
    }
  }

  /// From 4 or 16 bytes in network order; nil for any other number.
  package init?(bytes: [UInt8], port: UInt16) {
    switch bytes.count {
    case 4:
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_port = port.bigEndian
      withUnsafeMutableBytes(of: &address.sin_addr) { $0.copyBytes(from: bytes) }
      assign(address)
    case 16:
      var address = sockaddr_in6()
      address.sin6_family = sa_family_t(AF_INET6)
      address.sin6_port = port.bigEndian
      withUnsafeMutableBytes(of: &address.sin6_addr) { $0.copyBytes(from: bytes) }
      assign(address)
    default: return nil
    }
  }

  /// - Throws: for a path longer than `sun_path` (107 bytes).
  package init(unix path: String, abstract: Bool = false) throws(SocketError) {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = (abstract ? [0] : []) + Array(path.utf8)
    let room = MemoryLayout.size(ofValue: address.sun_path) - 1
    if bytes.count > room || bytes.isEmpty {
      throw SocketError(
        "unix socket", errno: ENAMETOOLONG,
        detail: "unix socket path is \(bytes.count) bytes long, 1...\(room) are allowed")
    }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    assign(address)
    // An abstract name ends by its length; a path ends with its NUL.
    length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count + (abstract ? 0 : 1))
  }

  init(_ address: UnsafePointer<sockaddr>, _ length: socklen_t) {
    let size = min(Int(length), MemoryLayout<sockaddr_storage>.size)
    withUnsafeMutableBytes(of: &storage) {
      $0.copyMemory(from: UnsafeRawBufferPointer(start: address, count: size))
    }
    self.length = socklen_t(size)
  }

  private mutating func assign<Address>(_ address: Address) {
    withUnsafeBytes(of: address) { source in
      withUnsafeMutableBytes(of: &storage) { $0.copyMemory(from: source) }
    }
    length = socklen_t(MemoryLayout<Address>.size)
  }

  var family: Int32 { Int32(storage.ss_family) }

  func withPointer<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
    withUnsafePointer(to: storage) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
    }
  }

  /// The address in the form of a target: an IP literal and port, or a unix path.
  package var destination: Destination {
    switch family {
    case AF_INET, AF_INET6:
      var host = [CChar](repeating: 0, count: Int(NI_MAXHOST))
      _ = withPointer {
        getnameinfo($0, $1, &host, socklen_t(host.count), nil, 0, NI_NUMERICHOST)
      }
      let text = String(
        decoding: host.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
      return .host(text, port)
    default:
      let path = withUnsafeBytes(of: storage) {
        Array($0.dropFirst(2).prefix(max(0, Int(length) - 2)))
      }
      if path.first == 0, path.count > 1 {
        return .unixAbstract(String(decoding: path.dropFirst(), as: UTF8.self))
      }
      return .unix(String(decoding: path.prefix { $0 != 0 }, as: UTF8.self))
    }
  }

  package var port: UInt16 {
    withUnsafeBytes(of: storage) { bytes in
      family == AF_INET || family == AF_INET6 ? UInt16(bytes[2]) << 8 | UInt16(bytes[3]) : 0
    }
  }

  private static func withoutZone(_ ip: String) -> String {
    ip.split(separator: "%", maxSplits: 1).first.map(String.init) ?? ip
  }

  /// What stands behind the `%` of an IPv6 literal; nil if there is none.
  static func zone(of ip: String) -> String? {
    let parts = ip.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2, parts[0].contains(":") else { return nil }
    return String(parts[1])
  }
}

extension SocketAddress {
  /// The same address with another port; a unix address as it is.
  package func with(port: UInt16) -> SocketAddress {
    guard family == AF_INET || family == AF_INET6 else { return self }
    var copy = self
    withUnsafeMutableBytes(of: &copy.storage) {
      $0[2] = UInt8(port >> 8)
      $0[3] = UInt8(port & 0xff)
    }
    return copy
  }
}
