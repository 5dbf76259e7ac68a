// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Synchronization
internal import TrunkHTTP2
internal import TrunkSockets

/// A response on its way to the loop.
struct OutgoingFrame: Sendable {
  var bytes: [UInt8]
  /// Its prefix is written, flag included.
  var isSealed: Bool
}

/// Compression of a call on the server (compression.md).
///
/// Requests are decompressed when the handler takes them, responses compressed before they go to
/// the loop: both are the handler's time, wherever it runs. A call without `grpc-encoding` pays for
/// a comparison.
extension ServerStream {
  // MARK: Requests

  /// `grpc-encoding` of the request.
  /// - Returns: whether this server takes it.
  func takeRequestEncoding(_ name: UnsafeRawBufferPointer) -> Bool {
    guard let compression = Compression(wire: name),
      connection.server.options.acceptedCompression.accepts(compression)
    else { return false }
    requestCompression = compression
    return true
  }

  func unknownEncoding(_ name: String) -> RPCError {
    let accepted = connection.server.options.acceptedCompression.wireNames
    return RPCError(
      .unimplemented, "grpc-encoding \(name) is not supported; supported are \(accepted)")
  }

  /// The message of a unary request; there is one, or the call has ended before.
  func opened(_ message: ReceivedMessage?) throws(RPCError) -> [UInt8] {
    guard let message else { return [] }
    guard requestCompression != .identity else { return message.payload }
    lastWasCompressed.store(message.isCompressed, ordering: .relaxed)
    do throws(RPCError) {
      return try message.message(limit: connection.server.options.maxReceiveMessageSize)
    } catch {
      // The call fails, whatever the handler makes of it.
      loop.run { self.fail(error) }
      throw error
    }
  }

  var lastMessageWasCompressed: Bool {
    lastWasCompressed.load(ordering: .relaxed)
  }

  // MARK: Replies

  /// Set until the headers have gone, read by whoever sends.
  private var replyCompression: Compression {
    Compression(code: replyCompressionCode.load(ordering: .relaxed))
  }

  /// The server's default, if the client takes it.
  func startCompression() {
    let compression = connection.server.options.compression
    guard compression != .identity, clientAccepts.accepts(compression) else { return }
    replyCompressionCode.store(compression.code, ordering: .relaxed)
  }

  func compressResponses(with compression: Compression) throws(RPCError) -> Bool {
    let isAccepted = clientAccepts.accepts(compression)
    let code = (isAccepted ? compression : .identity).code
    guard beforeHeaders({ _ in replyCompressionCode.store(code, ordering: .relaxed) }) else {
      throw RPCError(
        .failedPrecondition, "the headers of this call are sent already, with its compression")
    }
    return isAccepted
  }

  func compressed(_ frame: [UInt8]) throws(RPCError) -> OutgoingFrame {
    guard replyCompressionCode.load(ordering: .relaxed) != 0,
      !MessageFrame.isMarkedUncompressed(frame)
    else { return OutgoingFrame(bytes: frame, isSealed: false) }
    do throws(CompressionError) {
      guard let frame = try Deflater.frame(frame, replyCompression) else {
        return OutgoingFrame(bytes: frame, isSealed: false)
      }
      return OutgoingFrame(bytes: frame, isSealed: true)
    } catch {
      throw error.rpcError
    }
  }

  /// What the response headers say about compression; nothing, where there is none.
  func addEncodings(_ headers: inout HeaderList) {
    let compression = replyCompression
    if compression != .identity { headers.add("grpc-encoding", compression.wireName) }
    if requestCompression != .identity {
      let accepted = connection.server.options.acceptedCompression
      headers.add("grpc-accept-encoding", accepted.wireNames)
    }
  }
}
