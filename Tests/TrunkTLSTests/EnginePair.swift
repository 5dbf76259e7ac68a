// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
#if TLS
  import TestCertificates
  import TrunkSockets

  @testable import TrunkTLS

  /// A client and a server with nothing between them but two buffers.
  final class EnginePair {
    let client: TLSEngine
    let server: TLSEngine
    private(set) var clientError: SocketError?
    private(set) var serverError: SocketError?
    private(set) var clientReceived: [UInt8] = []
    private(set) var serverReceived: [UInt8] = []
    private(set) var clientSawEnd = false
    private let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 16 << 10, alignment: 16)

    init(
      _ client: TLSContext, _ server: TLSContext, name: String? = "localhost", key: String? = nil
    ) throws {
      self.client = try TLSEngine(client: client, serverName: name, server: key)
      self.server = try TLSEngine(server: server)
    }

    deinit { scratch.deallocate() }

    /// Carries bytes to and fro until nobody has any more.
    func run() {
      do throws(SocketError) { try client.begin() } catch { clientError = error }
      pump()
    }

    func pump() {
      while client.outputCount > 0 || server.outputCount > 0 {
        deliver(take(client), to: server)
        deliver(take(server), to: client)
      }
    }

    func take(_ engine: TLSEngine) -> [UInt8] {
      var output = OutputBuffer()
      engine.drain(&output)
      return Array(output.bytes)
    }

    /// Sends application bytes.
    func send(_ bytes: [UInt8], from engine: TLSEngine) throws(SocketError) -> [UInt8] {
      var output = OutputBuffer()
      let result = bytes.withUnsafeBytes { plain -> Result<Void, SocketError> in
        do throws(SocketError) { return .success(try engine.send(plain, &output)) } catch {
          return .failure(error)
        }
      }
      try result.get()
      return Array(output.bytes)
    }

    func close(_ engine: TLSEngine) -> [UInt8] {
      var output = OutputBuffer()
      engine.close(&output)
      return Array(output.bytes)
    }

    func deliver(_ bytes: [UInt8], to engine: TLSEngine) {
      guard !bytes.isEmpty else { return }
      let isClient = engine === client
      if isClient ? clientError != nil : serverError != nil { return }
      bytes.withUnsafeBytes { raw in
        do throws(SocketError) {
          let isEnd = try engine.receive(raw, scratch) { plain in
            if isClient { clientReceived += plain } else { serverReceived += plain }
            return true
          }
          if isClient, isEnd { clientSawEnd = true }
        } catch {
          if isClient { clientError = error } else { serverError = error }
        }
      }
    }
  }

  extension TestCertificates {
    func identity(_ name: String) -> TLSIdentity {
      .files(certificates: file("\(name).pem"), privateKey: file("\(name).key"))
    }
    func server(
      _ name: String = "server", clients: ServerTLS.ClientCertificates = .none
    ) throws -> TLSContext {
      try TLSContext.server(ServerTLS(identity(name), clientCertificates: clients))
    }
    func client(_ identity: String? = nil, trust: String = "ca") throws -> TLSContext {
      try TLSContext.client(
        ClientTLS(trust: .file(file("\(trust).pem")), identity: identity.map { self.identity($0) }))
    }
  }
#endif
