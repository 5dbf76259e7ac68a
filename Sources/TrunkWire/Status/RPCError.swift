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

  public var code: Code {
    get { parts.code }
    set { parts = Parts(newValue, message, origin, metadata, story) }
  }
  /// One line: `grpc-message`, or this library's first line of the story.
  public var message: String {
    get { parts.message }
    set { parts = Parts(code, newValue, origin, metadata, story) }
  }
  public var origin: Origin {
    get { parts.origin }
    set { parts = Parts(code, message, newValue, metadata, story) }
  }
  /// Trailing metadata that came with the status, or that a handler wants to send with it.
  public var metadata: Metadata {
    get { parts.metadata }
    set { parts = Parts(code, message, origin, newValue, story) }
  }
  /// What is known beyond the message, one fact a line: resolver, last connection errors, next try.
  /// Empty where there is nothing to add. Never sent to a peer.
  public var story: String {
    get { parts.story }
    set { parts = Parts(code, message, origin, metadata, newValue) }
  }

  public init(
    _ code: Code, _ message: String, origin: Origin = .local, metadata: Metadata = Metadata(),
    story: String = ""
  ) {
    parts = Parts(code, message, origin, metadata, story)
  }

  // Apart from the value, which is then one word: every function that may throw has room for one, and
  // every suspended call those of all its functions.
  private final class Parts: Sendable {
    let code: Code
    let message: String
    let origin: Origin
    let metadata: Metadata
    let story: String

    init(
      _ code: Code, _ message: String, _ origin: Origin, _ metadata: Metadata, _ story: String
    ) {
      self.code = code
      self.message = message
      self.origin = origin
      self.metadata = metadata
      self.story = story
    }
  }
  private var parts: Parts
}

extension RPCError {
  public static func == (a: RPCError, b: RPCError) -> Bool {
    a.code == b.code && a.message == b.message && a.origin == b.origin && a.metadata == b.metadata
      && a.story == b.story
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(code)
    hasher.combine(message)
    hasher.combine(origin)
    hasher.combine(metadata)
    hasher.combine(story)
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
