// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// A call that did not end with OK: its gRPC status, who made it, and what is known about why.
///
/// Thrown by client calls; an `RPCError` thrown by a server's handler is the status that the client
/// sees. Source: gRPC `doc/statuscodes.md`.
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

  public var code: Code
  /// One line: `grpc-message`, or this library's first line of the story.
  public var message: String
  public var origin: Origin
  /// Trailing metadata that came with the status, or that a handler wants to send with it.
  public var metadata: Metadata
  /// What is known beyond the message, one fact a line: resolver, last connection errors, next try.
  /// Empty where there is nothing to add. Never sent to a peer.
  public var story: String

  public init(
    _ code: Code, _ message: String, origin: Origin = .local, metadata: Metadata = Metadata(),
    story: String = ""
  ) {
    self.code = code
    self.message = message
    self.origin = origin
    self.metadata = metadata
    self.story = story
  }
}

extension RPCError: CustomStringConvertible {
  /// `unavailable: no server for …`, then the story, one indented fact a line.
  public var description: String {
    let head = message.isEmpty ? "\(code)" : "\(code): \(message)"
    guard !story.isEmpty else { return head }
    return story.split(separator: "\n").reduce(into: head) { $0 += "\n  " + $1 }
  }
}
