// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import Synchronization
internal import TrunkHTTP2
internal import TrunkSockets

/// A response before it is queued on the loop.
struct OutgoingFrame: Sendable {
  var bytes: [UInt8]
  /// Its prefix is written, flag included.
  var isSealed: Bool
}

/// Compression of a call on the server (compression.md).
///
/// Requests are decompressed when the handler reads them, responses compressed before they are
/// posted to the loop: both in the handler's time, wherever it runs. A call without `grpc-encoding`
/// costs one comparison.
extension ServerStream {
  // MARK: Requests

  /// `grpc-encoding` of the request.
  /// - Returns: whether this server accepts it.
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
      // The call fails, even if the handler catches the error.
      loop.run { self.fail(error) }
      throw error
    }
  }

  var lastMessageWasCompressed: Bool {
    lastWasCompressed.load(ordering: .relaxed)
  }

  // MARK: Replies

  /// Set until the headers are sent, read by each sender.
  private var replyCompression: Compression {
    Compression(code: replyCompressionCode.load(ordering: .relaxed))
  }

  /// The server's default, if the client accepts it.
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

  /// Adds the compression headers of a response; none without compression.
  func addEncodings(_ headers: inout HeaderList) {
    let compression = replyCompression
    if compression != .identity { headers.add("grpc-encoding", compression.wireName) }
    if requestCompression != .identity {
      let accepted = connection.server.options.acceptedCompression
      headers.add("grpc-accept-encoding", accepted.wireNames)
    }
  }
}
