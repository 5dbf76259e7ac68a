// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// A call that did not end with OK: its gRPC status, who made it, and what is known about why.
///
/// Thrown by client calls; an `RPCError` thrown by a server's handler is the status that the client
/// sees. Source: statuscodes.md.
public struct RPCError: Error, Sendable, Hashable {
  /// gRPC's status codes, OK (0) excepted: a call that ended with OK throws nothing.
  public enum Code: Int, Sendable, Hashable, CaseIterable {
    case cancelled = 1
    case unknown
    case invalidArgument
    case deadlineExceeded
    case notFound
    case alreadyExists
    case permissionDenied
    case resourceExhausted
    case failedPrecondition
    case aborted
    case outOfRange
    case unimplemented
    case `internal`
    case unavailable
    case dataLoss
    case unauthenticated
  }

  /// Who made the status: the peer said it, or this side's library did.
  public enum Origin: Sendable, Hashable { case peer, local }

  public var code: Code {
    get { parts.code }
    set { change { $0.code = newValue } }
  }
  /// One line: `grpc-message`, or this library's first line of the diagnostics.
  public var message: String {
    get { parts.message }
    set { change { $0.message = newValue } }
  }
  public var origin: Origin {
    get { parts.origin }
    set { change { $0.origin = newValue } }
  }
  /// Trailing metadata that came with the status, or that a handler wants to send with it.
  /// `grpc-status-details-bin`, the serialised `google.rpc.Status`, is among it (gRPC's richer
  /// error model): a handler that throws on the error of a call it made passes its details on.
  public var metadata: Metadata {
    get { parts.metadata }
    set { change { $0.metadata = newValue } }
  }
  /// What is known beyond the message, one fact a line: resolver, last connection errors, next try.
  /// Empty where there is nothing to add. Never sent to a peer.
  public var diagnostics: String {
    get { parts.diagnostics }
    set { change { $0.diagnostics = newValue } }
  }
  /// What the server sent before the call failed: its initial metadata. Empty if it sent none, and
  /// on errors that no call made. Never sent to a peer.
  public var initialMetadata: Metadata {
    get { parts.initialMetadata }
    set { change { $0.initialMetadata = newValue } }
  }
  /// The server that the call was with when it failed, e.g. `10.0.0.7:50051`; nil if it was with
  /// none. Never sent to a peer.
  public var peer: String? {
    get { parts.peer }
    set { change { $0.peer = newValue } }
  }

  public init(
    _ code: Code, _ message: String, origin: Origin = .local, metadata: Metadata = Metadata(),
    diagnostics: String = ""
  ) {
    box = Box(
      Parts(
        code: code, message: message, origin: origin, metadata: metadata, diagnostics: diagnostics))
  }

  // Apart from the value, which is then one word: every function that may throw has room for one,
  // and every suspended call those of all its functions.
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
  /// `unavailable: no server for …`, then the diagnostics, one indented fact a line.
  public var description: String {
    let head = message.isEmpty ? "\(code)" : "\(code): \(message)"
    guard !diagnostics.isEmpty else { return head }
    return diagnostics.split(separator: "\n").reduce(into: head) { $0 += "\n  " + $1 }
  }
}
