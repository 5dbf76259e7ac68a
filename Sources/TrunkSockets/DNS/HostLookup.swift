// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CTrunkLinux
internal import Glibc

/// Host look-ups by the system (`getaddrinfo`: nsswitch, /etc/hosts, search domains), on helper
/// threads since it blocks.
package enum HostLookup {
  /// All addresses, in the system's order (RFC 6724); a literal is answered at once.
  /// - Throws: `SocketError` with the look-up's error, `CancellationError`.
  package static func addresses(
    of destination: Destination, timeout: Duration
  ) async throws -> [SocketAddress] {
    if let address = try literal(destination) { return [address] }
    guard case .host(let host, let port) = destination else { return [] }
    return try await system(host, port, timeout)
  }

  /// The addresses to connect to: all of them, or those of one family if a DNS server does not
  /// answer for the other (RFC 8305 §3).
  /// - Throws: as ``addresses(of:timeout:)``.
  package static func firstAddresses(
    of destination: Destination, timeout: Duration
  ) async throws -> [SocketAddress] {
    try await addresses(of: destination, timeout: timeout) { _ in false }
  }

  /// As ``addresses(of:timeout:)``.
  /// - Parameter partial: gets the addresses of one family when the other is not answered; false if
  ///   they are enough, else the result has both, or what came in time.
  package static func addresses(
    of destination: Destination, timeout: Duration, partial: @Sendable ([SocketAddress]) -> Bool
  ) async throws -> [SocketAddress] {
    if let address = try literal(destination) { return [address] }
    guard case .host(let host, let port) = destination else { return [] }
    return try await preferringUnblocked {
      try await system(host, port, timeout)
    } apart: { family in
      await apart(host, port, family, timeout)
    } partial: {
      partial($0)
    }
  }

  /// `getaddrinfo` returns when both families are answered or have timed out, after 5 s or more. So
  /// the families are queried separately as well when it takes longer than usual.
  static let headStart: Duration = .milliseconds(200)

  /// The result of `together`; before it comes, what `apart` finds of one family.
  static func preferringUnblocked(
    headStart: Duration = headStart, delay: Duration = FamilyAnswers.resolutionDelay,
    together: @escaping @Sendable () async throws -> [SocketAddress],
    apart: @escaping @Sendable (FamilyAnswers.Family) async -> FamilyAnswers.Answer,
    partial: @Sendable ([SocketAddress]) -> Bool
  ) async throws -> [SocketAddress] {
    enum Event: Sendable {
      case together(Result<[SocketAddress], any Error>)
      case apart([SocketAddress])
    }
    let result = await withTaskGroup(of: Event.self) {
      group -> Result<[SocketAddress], any Error> in
      group.addTask {
        do { return .together(.success(try await together())) } catch {
          return .together(.failure(error))
        }
      }
      group.addTask {
        guard (try? await Task.sleep(for: headStart)) != nil else { return .apart([]) }
        let found = try? await FamilyAnswers.gather(delay: delay, by: apart) { _ in false }
        return .apart(found ?? [])
      }
      defer { group.cancelAll() }
      var known: [SocketAddress] = []
      while let event = await group.next() {
        switch event {
        case .together(.failure) where !known.isEmpty: return .success(known)
        case .together(let result): return result
        case .apart(let addresses):
          guard !addresses.isEmpty else { continue }
          if !partial(addresses) { return .success(addresses) }
          known = addresses
        }
      }
      return .success(known)
    }
    try Task.checkCancellation()
    return try result.get()
  }

  private static func system(
    _ host: String, _ port: UInt16, _ timeout: Duration
  ) async throws -> [SocketAddress] {
    try await BlockingWork.lookUps.run(timeout: timeout, "look-up of \(host)") {
      let result = lookUp(host, port, AF_UNSPEC, AI_ADDRCONFIG)
      if case .success = result { return result }
      // A machine with only a loopback device has no "configured" address family.
      return lookUp(host, port, AF_UNSPEC, 0)
    }.get()
  }

  private static func apart(
    _ host: String, _ port: UInt16, _ family: FamilyAnswers.Family, _ timeout: Duration
  ) async -> FamilyAnswers.Answer {
    let threads: BlockingWork = family == .v6 ? .lookUpsIPv6 : .lookUpsIPv4
    do {
      return try await threads.run(timeout: timeout, "look-up of \(host)") {
        lookUp(host, port, family == .v6 ? AF_INET6 : AF_INET, AI_ADDRCONFIG)
      }.mapError { $0 }
    } catch { return .failure(error) }
  }

  /// The address when no look-up is needed.
  /// - Throws: for the zone of an interface that this machine does not have, and paths that are too
  ///   long.
  package static func literal(_ destination: Destination) throws(SocketError) -> SocketAddress? {
    switch destination {
    case .host(let host, let port):
      if let address = SocketAddress(ip: host, port: port) { return address }
      if let zone = SocketAddress.zone(of: host) {
        throw SocketError(
          "look-up", errno: 0, detail: "\(host): no network interface has the name \"\(zone)\"")
      }
      return nil
    case .unix(let path): return try SocketAddress(unix: path)
    case .unixAbstract(let name): return try SocketAddress(unix: name, abstract: true)
    }
  }

  /// This machine's host name; nil if it has none.
  package static var localName: String? {
    var name = [CChar](repeating: 0, count: Int(HOST_NAME_MAX) + 1)
    guard gethostname(&name, name.count - 1) == 0 else { return nil }
    return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  private static func lookUp(
    _ host: String, _ port: UInt16, _ family: Int32, _ flags: Int32
  ) -> Result<[SocketAddress], SocketError> {
    var hints = addrinfo()
    hints.ai_family = family
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    hints.ai_flags = flags
    var list: UnsafeMutablePointer<addrinfo>?
    let status = getaddrinfo(host, String(port), &hints, &list)
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
