// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkSockets

/// Authenticates a client by metadata of each call: a token, a signature.
///
/// Called before every call, so an implementation keeps a token for as long as it is valid. An
/// error it throws ends the call: an ``RPCError`` as it is (codes about the request become
/// INTERNAL, gRFC A54), any other error as UNAUTHENTICATED (statuscodes.md).
public protocol CallCredentials: Sendable {
  /// Whether it may be sent over a connection without TLS, where it can be read and used by others.
  /// Default false: such calls fail with UNAUTHENTICATED before anything is sent.
  var allowsPlaintext: Bool { get }
  /// The metadata to add, e.g. `authorization`. The time it takes counts towards the call's
  /// deadline.
  /// - Throws: the reason why there are no credentials.
  func metadata(for call: CallCredentialsRequest) async throws -> Metadata
}

extension CallCredentials {
  /// False.
  public var allowsPlaintext: Bool { false }
}

/// The call that credentials are needed for.
public struct CallCredentialsRequest: Sendable {
  /// `https://orders.example/shop.Orders`: the audience of a token for this service.
  public var serviceURL: String
  /// `/shop.Orders/Place`
  public var path: String
}

extension CallRequest {
  /// The call with the metadata of the channel's credentials and of its own.
  /// - Parameter isSecure: whether the connection has TLS, or is within the process.
  func authorized(
    _ channel: [any CallCredentials], isSecure: Bool, authority: String
  ) async throws(RPCError) -> CallRequest {
    let all = channel + options.credentials
    guard isSecure || all.allSatisfy(\.allowsPlaintext) else {
      throw RPCError(
        .unauthenticated, "call credentials are not sent over a channel without TLS")
    }
    let path = method.text
    let service = path.prefix(upTo: path.lastIndex(of: "/") ?? path.endIndex)
    let asked = CallCredentialsRequest(
      serviceURL: "\(isSecure ? "https" : "http")://\(authority)\(service)", path: path)
    let start = Clock.now()
    let end = options.end(from: start)
    let added: Metadata
    do {
      added = try await CallCredentialsRequest.ask(all, asked, until: end == .max ? nil : end)
    } catch let error as RPCError {
      throw error.code == .deadlineExceeded ? error : error.fromControlPlane
    } catch is CancellationError {
      throw RPCError(.cancelled, "the call was cancelled")
    } catch {
      throw RPCError(.unauthenticated, "no call credentials: \(error)")
    }
    var request = self
    request.options.credentials = []
    request.options.metadata.append(contentsOf: added)
    if let timeout = options.timeout {
      // The deadline counts from the start of the call.
      request.options.timeout = timeout - .nanoseconds(Int64(clamping: Clock.now() &- start))
    }
    return request
  }
}

extension CallCredentialsRequest {
  /// Ends at the deadline and when its task is cancelled, even if the credentials ignore that.
  fileprivate static func ask(
    _ credentials: [any CallCredentials], _ asked: CallCredentialsRequest, until deadline: UInt64?
  ) async throws -> Metadata {
    let answer = CredentialsAnswer()
    let asking = Task {
      do {
        var metadata = Metadata()
        for one in credentials { metadata.append(contentsOf: try await one.metadata(for: asked)) }
        answer.settle(.success(metadata))
      } catch { answer.settle(.failure(error)) }
    }
    // Not a sleeping task: one that is cancelled leaves its timer until the time has come.
    let deadlines = CredentialsAnswer.deadlines
    if let deadline { deadlines.add(answer.entry, of: answer, at: deadline) }
    defer {
      asking.cancel()
      if deadline != nil { deadlines.remove(answer.entry) }
    }
    return try await withTaskCancellationHandler {
      await withUnsafeContinuation { answer.wait($0) }
    } onCancel: {
      answer.settle(.failure(CancellationError()))
    }.get()
  }
}

/// The first result is used.
private final class CredentialsAnswer: DeadlineOwner {
  typealias Answer = Result<Metadata, any Error>
  private struct State: Sendable {
    var answer: Answer?
    var waiter: UnsafeContinuation<Answer, Never>?
  }
  private let state = Locked(State())
  let entry = DeadlineQueue.Entry()
  static let deadlines = DeadlineQueue()

  func deadlinePassed() {
    settle(
      .failure(
        RPCError(.deadlineExceeded, "the deadline passed while waiting for call credentials")))
  }

  func settle(_ answer: Answer) {
    let waiter = state.withLock { state -> UnsafeContinuation<Answer, Never>? in
      guard state.answer == nil else { return nil }
      state.answer = answer
      defer { state.waiter = nil }
      return state.waiter
    }
    waiter?.resume(returning: answer)
  }

  func wait(_ waiter: UnsafeContinuation<Answer, Never>) {
    let answer = state.withLock { state -> Answer? in
      if state.answer == nil { state.waiter = waiter }
      return state.answer
    }
    if let answer { waiter.resume(returning: answer) }
  }
}
