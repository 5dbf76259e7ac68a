// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import CTrunkLinux

/// Queries DNS itself, not /etc/hosts and nsswitch: for a chosen server, and for records other than
/// addresses. libresolv sends the queries (UDP, then TCP if the answer was truncated), on helper
/// threads.
package enum DNSQuery {
  /// The servers of /etc/resolv.conf, or one of the caller's.
  package enum Server: Sendable, Hashable {
    case system
    /// Its name is looked up by the system first.
    case chosen(Destination)
  }

  /// Records, and for how long they may be used.
  package struct Answer<Value: Sendable>: Sendable {
    package var values: [Value]
    /// Seconds: the smallest of the records, aliases included; nil if there are none.
    package var timeToLive: UInt32?

    package init(values: [Value], timeToLive: UInt32?) {
      self.values = values
      self.timeToLive = timeToLive
    }
  }

  /// IPv6 and IPv4 addresses of `name`, in this order (RFC 6724's preference), to connect to at
  /// `port`. Empty if the name has none.
  /// - Parameter partial: gets the addresses of one family if the server does not answer for the
  ///   other in time (RFC 8305 §3); false if they are enough, else the result has both, or what
  ///   came in time.
  /// - Throws: `SocketError` with the server's error, `CancellationError`.
  package static func addresses(
    of name: String, port: UInt16, from server: Server, timeout: Duration,
    partial: @Sendable ([SocketAddress]) -> Bool = { _ in true }
  ) async throws -> Answer<SocketAddress> {
    let literal = try await literal(of: server, timeout)
    let smallest = Locked<UInt32?>(nil)
    let found = try await FamilyAnswers.gather { family in
      let answer =
        switch family {
        case .v6: await ask(name, type: 28, literal, timeout, on: .lookUpsIPv6)
        case .v4: await ask(name, type: 1, literal, timeout, on: .lookUpsIPv4)
        }
      if let seconds = (try? answer.get())?.timeToLive {
        smallest.withLock { $0 = min($0 ?? seconds, seconds) }
      }
      return answer.map { $0.addresses.compactMap { SocketAddress(bytes: $0, port: port) } }
    } partial: {
      partial($0)
    }
    return Answer(values: found, timeToLive: smallest.withLock { $0 })
  }

  /// The TXT records of `name`, each one's strings joined; empty if there are none.
  /// - Throws: `SocketError` with the server's error, `CancellationError`.
  package static func texts(
    of name: String, from server: Server, timeout: Duration
  ) async throws -> Answer<[UInt8]> {
    let literal = try await literal(of: server, timeout)
    let message = try await ask(name, type: 16, literal, timeout, on: .lookUpsOfRecords).get()
    return Answer(values: message.texts, timeToLive: message.timeToLive)
  }

  /// The SRV records of `name`, in the answer's order; empty if there are none.
  /// - Throws: `SocketError` with the server's error, `CancellationError`.
  package static func services(
    of name: String, from server: Server, timeout: Duration
  ) async throws -> Answer<DNSMessage.Service> {
    let literal = try await literal(of: server, timeout)
    let message = try await ask(name, type: 33, literal, timeout, on: .lookUpsOfServices).get()
    return Answer(values: message.services, timeToLive: message.timeToLive)
  }

  private struct Literal: Sendable {
    var host: String
    var port: UInt16
  }

  private static func literal(of server: Server, _ timeout: Duration) async throws -> Literal? {
    guard case .chosen(let destination) = server else { return nil }
    let address = try await HostLookup.addresses(of: destination, timeout: timeout).first
    guard case .host(let host, let port)? = address?.destination else {
      throw SocketError("look-up", errno: 0, detail: "\(destination) can be no DNS server")
    }
    return Literal(host: host, port: port)
  }

  private static func ask(
    _ name: String, type: Int32, _ server: Literal?, _ timeout: Duration, on threads: BlockingWork
  ) async -> Result<DNSMessage, any Error> {
    do {
      let outcome = try await threads.run(timeout: timeout, "look-up of \(name)") {
        ask(name, type: type, server)
      }
      return outcome.mapError { $0 }
    } catch { return .failure(error) }
  }

  /// Blocks.
  private static func ask(
    _ name: String, type: Int32, _ server: Literal?
  ) -> Result<DNSMessage, SocketError> {
    // A DNS message has at most 65,535 bytes (RFC 1035 §4.2.2).
    var answer = [UInt8](repeating: 0, count: 65_535)
    let length = answer.withUnsafeMutableBufferPointer {
      trunk_dns_query(
        server?.host, server?.port ?? 0, name, type, $0.baseAddress, Int32($0.count))
    }
    let asked = server.map { " by DNS server \(Destination.host($0.host, $0.port))" } ?? ""
    func failed(_ reason: String, _ code: Int32 = 0) -> Result<DNSMessage, SocketError> {
      .failure(
        SocketError("look-up", errno: code, detail: "look-up of \(name)\(asked): \(reason)"))
    }
    if length >= 0 {
      do throws(DNSMessage.Failure) {
        return .success(try DNSMessage(parsing: Array(answer.prefix(Int(length)))))
      } catch { return failed(error.description) }
    }
    // -2 minus h_errno (netdb.h).
    switch -2 - Int(length) {
    case 1: return failed("no such name (NXDOMAIN)", SocketError.noSuchName)
    case 2: return failed("no answer in time, or the server failed (SERVFAIL)")
    case 3: return failed("the server refused, or its answer is malformed")
    case 4: return .success(.empty)
    default: return failed("cannot ask")
    }
  }
}

extension DNSMessage {
  /// The name exists but has no such records.
  static let empty = DNSMessage(nothing: ())

  private init(nothing: Void) {
    responseCode = 0
    isTruncated = false
    question = nil
    answers = []
  }
}
