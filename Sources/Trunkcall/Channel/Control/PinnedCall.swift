// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkDiscovery
internal import TrunkSockets
internal import TrunkWire

/// A server-streaming call that the channel itself makes on one given connection, past the policy: it
/// is not picked for, never sent again, counted by no observer, and ends with its connection. With
/// the channel's credentials, without its interceptors.
struct PinnedCall {
  private let task: Task<Void, Never>

  /// Starts it.
  /// - Parameters:
  ///   - request: the message, encoded.
  ///   - messageLimit: bytes of a response message.
  ///   - onMessage: on the connection's loop.
  ///   - onEnd: on any thread, once; the error is nil for OK.
  init(
    _ context: ChannelContext, on reference: ConnectionReference, _ method: MethodName,
    request: [UInt8], messageLimit: Int, onMessage: @escaping @Sendable ([UInt8]) -> Void,
    onEnd: @escaping @Sendable (RPCError?) -> Void
  ) {
    let loop = context.loops[reference.loopIndex]
    task = Task(executorPreference: loop.tasks) {
      do throws(RPCError) {
        let handle = try await PinnedCall.open(
          context, reference, method, request, messageLimit: messageLimit)
        while let message = try await handle.next() { onMessage(message) }
        onEnd(nil)
      } catch {
        onEnd(error)
      }
    }
  }

  /// Ends it with CANCELLED.
  func cancel() { task.cancel() }

  private static func open(
    _ context: ChannelContext, _ reference: ConnectionReference, _ method: MethodName,
    _ message: [UInt8], messageLimit: Int
  ) async throws(RPCError) -> ClientCallHandle {
    let settings = context.settings
    let options = CallOptions(
      inheritsDeadline: false, maxReceiveMessageSize: messageLimit, compression: .identity)
    let request = try await CallRequest(method, options).authorized(
      settings.credentials, isSecure: settings.isSecure, authority: settings.authority)
    let metadata = try RequestHeaders.outgoing(request.options.metadata, settings.logger)
    let call = ClientCall(context, request, metadata, isUnary: false)
    call.canReplay = false
    call.firstFrame = MessageFrame.sealed(
      [UInt8](repeating: 0, count: MessageFrame.prefixLength) + message)
    call.requestsEnded = true
    let handle = ClientCallHandle(call)
    call.move(to: reference.unobserved, token: nil, from: context.currentIndex)
    return handle
  }
}

extension ConnectionReference {
  fileprivate var unobserved: ConnectionReference {
    ConnectionReference(
      connection: connection, loopIndex: loopIndex, subchannel: subchannel, observer: nil)
  }
}
