// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// A call's status other than OK: its code and message, the side that set it, and diagnostics.
///
/// Thrown by client calls; an `RPCError` thrown by a server's handler is the call's status for the
/// client. Source: statuscodes.md.
public struct RPCError: Error, Sendable, Hashable {
  /// gRPC's status codes, OK (0) excepted: a call that ended with OK throws nothing.
  public enum Code: Int, Sendable, Hashable, CaseIterable {
    /// CANCELLED: ended by the caller, or by the server for it.
    case cancelled = 1
    /// UNKNOWN: a handler's error that is no status, or a status that cannot be read.
    case unknown
    /// INVALID_ARGUMENT: the request is wrong in any state of the system.
    case invalidArgument
    /// DEADLINE_EXCEEDED: the deadline passed before the call ended.
    case deadlineExceeded
    /// NOT_FOUND: the requested entity does not exist.
    case notFound
    /// ALREADY_EXISTS: the entity to create exists.
    case alreadyExists
    /// PERMISSION_DENIED: the caller is known and may not do this.
    case permissionDenied
    /// RESOURCE_EXHAUSTED: a limit or quota is reached; the libraries use it for their own limits.
    case resourceExhausted
    /// FAILED_PRECONDITION: the system is not in the required state; a retry does not help.
    case failedPrecondition
    /// ABORTED: a conflict, e.g. of transactions; retry at a higher level.
    case aborted
    /// OUT_OF_RANGE: past the valid range, as reading after the end.
    case outOfRange
    /// UNIMPLEMENTED: the method is not served, or a feature of the call is not supported.
    case unimplemented
    /// INTERNAL: an invariant is broken, or the peer violated the protocol.
    case `internal`
    /// UNAVAILABLE: no server could take the call; a retry may help.
    case unavailable
    /// DATA_LOSS: data is lost or corrupt and cannot be recovered.
    case dataLoss
    /// UNAUTHENTICATED: no valid credentials.
    case unauthenticated
  }

  /// The side that set the status: `peer` sent it, or `local`, this side's library, made it.
  public enum Origin: Sendable, Hashable { case peer, local }

  /// The status code.
  public var code: Code {
    get { parts.code }
    set { change { $0.code = newValue } }
  }
  /// One line: `grpc-message`, or this library's summary of the failure.
  public var message: String {
    get { parts.message }
    set { change { $0.message = newValue } }
  }
  /// The side that set the status.
  public var origin: Origin {
    get { parts.origin }
    set { change { $0.origin = newValue } }
  }
  /// Trailing metadata received with the status, or that a handler sends with it.
  /// `grpc-status-details-bin`, the serialised `google.rpc.Status`, is in it (gRPC's richer error
  /// model): a handler that throws on the error of a call it made passes its details on.
  public var metadata: Metadata {
    get { parts.metadata }
    set { change { $0.metadata = newValue } }
  }
  /// Diagnostics beyond the message, one fact a line: resolver, last connection errors, next
  /// attempt. Empty if there are none. Never sent to a peer.
  public var diagnostics: String {
    get { parts.diagnostics }
    set { change { $0.diagnostics = newValue } }
  }
  /// The response headers' metadata, if they came before the call failed. Empty otherwise, and on
  /// errors of no call. Never sent to a peer.
  public var initialMetadata: Metadata {
    get { parts.initialMetadata }
    set { change { $0.initialMetadata = newValue } }
  }
  /// The address of the call's server when it failed, e.g. `10.0.0.7:50051`; nil if it had none.
  /// Never sent to a peer.
  public var peer: String? {
    get { parts.peer }
    set { change { $0.peer = newValue } }
  }

  /// - Parameters:
  ///   - code: what a client gets from a handler that throws this.
  ///   - message: one line; sent as `grpc-message`, percent-encoded.
  public init(
    _ code: Code, _ message: String, origin: Origin = .local, metadata: Metadata = Metadata(),
    diagnostics: String = ""
  ) {
    box = Box(
      Parts(
        code: code, message: message, origin: origin, metadata: metadata, diagnostics: diagnostics))
  }

  // In an object, so that an error is one word: every function that may throw reserves room for
  // one, and every suspended call that of all its functions.
  private struct Parts: Sendable, Hashable {
    var code: Code
    var message: String
    var origin: Origin
    var metadata: Metadata
    var diagnostics: String
    var initialMetadata = Metadata()
    var peer: String?
  }
  private final class Box: Sendable {
    let parts: Parts
    init(_ parts: Parts) { self.parts = parts }
  }
  private var box: Box
  private var parts: Parts { box.parts }

  private mutating func change(_ body: (inout Parts) -> Void) {
    var parts = parts
    body(&parts)
    box = Box(parts)
  }
}

extension RPCError {
  public static func == (a: RPCError, b: RPCError) -> Bool { a.parts == b.parts }
  public func hash(into hasher: inout Hasher) { hasher.combine(parts) }
}

extension RPCError: CustomStringConvertible {
  /// `unavailable: no server for …`, then the diagnostics, one indented line each.
  public var description: String {
    let head = message.isEmpty ? "\(code)" : "\(code): \(message)"
    guard !diagnostics.isEmpty else { return head }
    return diagnostics.split(separator: "\n").reduce(into: head) { $0 += "\n  " + $1 }
  }
}
