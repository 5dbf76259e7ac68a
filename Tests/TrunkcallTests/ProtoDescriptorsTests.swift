// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import Logging
import Testing
import TrunkSockets

@testable import Trunkcall

@Suite("Descriptors of services")
struct ProtoDescriptorsTests {
  @Test("every byte is its scalar, and 0 is U+0100")
  func bytes() {
    let descriptors = ProtoDescriptors("a\u{100}\n\u{7f}\u{80}\u{ff}", "", "\r\n")
    #expect(descriptors.files == [[0x61, 0, 0x0A, 0x7F, 0x80, 0xFF], [], [0x0D, 0x0A]])
  }

  /// Has no methods, as an empty service of a .proto.
  private struct Empty: RPCService {
    func register(in table: inout MethodTable) {
      table.describe("t.Empty", ProtoDescriptors("x"))
    }
  }

  private final class Reflecting: ServiceReflecting {
    let told = Locked<[ServedServices]>([])
    func register(in table: inout MethodTable) {}
    func serves(_ services: ServedServices) -> [String] {
      told.withLock { $0.append(services) }
      return ["something is wrong"]
    }
  }

  private let other = AdHocService(unary: ["Echo": { payload, _ in payload }])

  @Test("a server and a channel within the process name all their services, methods or not")
  func served() throws {
    let reflecting = Reflecting()
    let log = LogLines()
    let services: [any RPCService] = [reflecting, other, Empty()]
    _ = GRPCServer(on: .tcp("127.0.0.1", 0), services: services, logger: log.logger)
    _ = InProcessChannel(services, logger: log.logger)
    let told = reflecting.told.withLock { $0 }
    #expect(told.count == 2)
    for served in told + [ServedServices(of: services)] {
      #expect(served.names == [AdHocService.method("Echo").service, "t.Empty"].sorted())
      #expect(Array(served.descriptors.keys) == ["t.Empty"])
    }
    #expect(log.entries.map(\.level) == [.error, .error])
    #expect(log.entries.allSatisfy { $0.metadata["descriptors"] == "something is wrong" })
  }
}
