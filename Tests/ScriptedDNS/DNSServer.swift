// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Glibc
internal import Synchronization

/// A DNS server on a loopback UDP port, on a thread of its own.
package final class DNSServer: Sendable {
  package typealias Answer = @Sendable (_ question: String, _ type: UInt16) -> DNSRecords?
  package struct DNSRecords: Sendable {
    package var responseCode: UInt8
    /// Those of the type that is asked for are sent; the owner is the question's name.
    package var records: [DNSRecord]
    package init(responseCode: UInt8 = 0, records: [DNSRecord] = []) {
      self.responseCode = responseCode
      self.records = records
    }
  }
  package struct DNSRecord: Sendable {
    package var type: UInt16
    package var data: [UInt8]
    /// Seconds.
    package var ttl: UInt32
    package init(_ type: UInt16, _ data: [UInt8], ttl: UInt32 = 60) {
      self.type = type
      self.data = data
      self.ttl = ttl
    }
    /// An SRV record.
    package static func service(
      _ target: String, _ port: UInt16, priority: UInt16 = 0, weight: UInt16 = 1, ttl: UInt32 = 60
    ) -> DNSRecord {
      DNSRecord(
        33, DNSWire.service(priority: priority, weight: weight, port: port, target: target),
        ttl: ttl)
    }
  }

  package let port: UInt16
  private let fd: Int32
  private let asked = Questions()

  /// What was asked so far: `name type`.
  package var questions: [String] { asked.list.withLock { $0 } }

  /// - Parameter answer: nil answers nothing at all.
  package init(ip: String = "127.0.0.1", _ answer: @escaping Answer) throws {
    let fd = socket(ip.contains(":") ? AF_INET6 : AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    guard let port = DNSServer.bind(fd, ip) else {
      close(fd)
      throw Failure()
    }
    self.port = port
    self.fd = fd
    let asked = asked
    let body = Body { DNSServer.serve(fd, asked, answer) }
    var thread = pthread_t()
    _ = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, Unmanaged.passRetained(body).toOpaque())
    pthread_detach(thread)
  }

  /// Ends the thread.
  package func stop() { shutdown(fd, Int32(SHUT_RDWR)) }

  package struct Failure: Error {}

  private final class Questions: Sendable {
    let list = Mutex<[String]>([])
  }

  /// The port that the kernel chose.
  private static func bind(_ fd: Int32, _ ip: String) -> UInt16? {
    var storage = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    return withUnsafeMutableBytes(of: &storage) { bytes -> UInt16? in
      // Family (2 bytes), port (2), then the address: at once, or behind IPv6's flow label (4).
      let isV6 = ip.contains(":")
      guard let base = bytes.baseAddress else { return nil }
      base.storeBytes(of: sa_family_t(isV6 ? AF_INET6 : AF_INET), as: sa_family_t.self)
      guard inet_pton(isV6 ? AF_INET6 : AF_INET, ip, base + (isV6 ? 8 : 4)) == 1 else { return nil }
      let size = isV6 ? MemoryLayout<sockaddr_in6>.size : MemoryLayout<sockaddr_in>.size
      let address = base.assumingMemoryBound(to: sockaddr.self)
      guard Glibc.bind(fd, address, socklen_t(size)) == 0, getsockname(fd, address, &length) == 0
      else { return nil }
      return UInt16(bytes[2]) << 8 | UInt16(bytes[3])
    }
  }

  private final class Body: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  private static func serve(_ fd: Int32, _ asked: Questions, _ answer: Answer) {
    defer { close(fd) }
    var buffer = [UInt8](repeating: 0, count: 2_048)
    while true {
      var peer = sockaddr_storage()
      var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
      let count = withUnsafeMutablePointer(to: &peer) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          recvfrom(fd, &buffer, buffer.count, 0, $0, &length)
        }
      }
      guard count > 12, let (name, type) = question(Array(buffer.prefix(count))) else { return }
      asked.list.withLock { $0.append("\(name) \(type)") }
      guard let records = answer(name, type) else { continue }
      var wire = DNSWire(
        question: name, type: type, id: UInt16(buffer[0]) << 8 | UInt16(buffer[1]),
        responseCode: records.responseCode)
      for record in records.records where record.type == type {
        wire.add(rawOwner: [0xc0, 12], type: record.type, ttl: record.ttl, data: record.data)
      }
      withUnsafePointer(to: peer) {
        _ = $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          sendto(fd, wire.bytes, wire.bytes.count, 0, $0, length)
        }
      }
    }
  }

  private static func question(_ bytes: [UInt8]) -> (String, UInt16)? {
    var labels: [String] = []
    var offset = 12
    while offset < bytes.count, bytes[offset] > 0 {
      let end = offset + 1 + Int(bytes[offset])
      guard end < bytes.count else { return nil }
      labels.append(String(decoding: bytes[(offset + 1)..<end], as: UTF8.self))
      offset = end
    }
    guard offset + 2 < bytes.count else { return nil }
    return (
      labels.joined(separator: "."), UInt16(bytes[offset + 1]) << 8 | UInt16(bytes[offset + 2])
    )
  }
}
