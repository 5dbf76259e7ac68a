// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Glibc
import Synchronization

@testable import TrunkSockets

/// A DNS server on a loopback UDP port, on a thread of its own.
final class DNSServer: Sendable {
  typealias Answer = @Sendable (_ question: String, _ type: UInt16) -> DNSRecords?
  struct DNSRecords {
    var responseCode: UInt8 = 0
    /// Those of the type that is asked for are sent; the owner is the question's name.
    var records: [DNSRecord] = []
  }
  struct DNSRecord {
    var type: UInt16
    var data: [UInt8]
    init(_ type: UInt16, _ data: [UInt8]) {
      self.type = type
      self.data = data
    }
  }

  let port: UInt16
  private let fd: Int32
  private let asked = Notes<String>()

  /// What was asked so far: `name type`.
  var questions: [String] { asked.all }

  /// - Parameter answer: nil answers nothing at all.
  init(ip: String = "127.0.0.1", _ answer: @escaping Answer) throws {
    guard let any = SocketAddress(ip: ip, port: 0) else { throw SocketError.closed("address") }
    let fd = socket(any.family, Int32(SOCK_DGRAM.rawValue), 0)
    guard fd >= 0, any.withPointer({ bind(fd, $0, $1) }) == 0,
      let address = Socket.localAddress(fd)
    else { throw SocketError("bind") }
    self.fd = fd
    port = address.port
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
  func stop() { shutdown(fd, Int32(SHUT_RDWR)) }

  private final class Body: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  private static func serve(_ fd: Int32, _ asked: Notes<String>, _ answer: Answer) {
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
      asked.add("\(name) \(type)")
      guard let records = answer(name, type) else { continue }
      var wire = DNSWire(
        question: name, type: type, id: UInt16(buffer[0]) << 8 | UInt16(buffer[1]),
        responseCode: records.responseCode)
      for record in records.records where record.type == type {
        wire.add(rawOwner: [0xc0, 12], type: record.type, data: record.data)
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
