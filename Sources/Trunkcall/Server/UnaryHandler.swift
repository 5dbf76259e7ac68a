// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// A handler of one message in, one out.
@usableFromInline struct UnaryHandler: Sendable {
  /// For calls with interceptors, and calls within the process.
  let body: @Sendable (_ payload: [UInt8], ServerCall) async throws -> [UInt8]
  /// For calls without interceptors: decodes the request, calls the handler and encodes the response
  /// in one async function, which saves an async frame for each call.
  let serve: @Sendable (any UnaryExchange, ServerCall) async -> Void

  @usableFromInline init(
    body: @escaping @Sendable (_ payload: [UInt8], ServerCall) async throws -> [UInt8],
    serve: @escaping @Sendable (any UnaryExchange, ServerCall) async -> Void
  ) {
    self.body = body
    self.serve = serve
  }
}

/// The messages of a unary call, in bytes.
@usableFromInline protocol UnaryExchange: AnyObject, Sendable {
  /// The request's payload. Once.
  func takeRequest() throws(RPCError) -> [UInt8]
  /// Ends the call with a response and OK.
  /// - Parameter frame: five bytes of room, then the payload.
  func respond(_ frame: [UInt8]) throws(RPCError)
  /// Ends the call with the status of what the handler threw.
  func handlerThrew(_ error: any Error)
}
