// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkSockets

/// Proves to a server who is calling, with metadata of each call: a token, a signature.
///
/// Asked before every call, so it keeps a token itself for as long as that is good. What it throws
/// ends the call: an ``RPCError`` as it is (codes that speak of the request become INTERNAL, gRFC
/// A54), anything else as UNAUTHENTICATED (gRPC statuscodes.md).
public protocol CallCredentials: Sendable {
  /// Whether it may be sent over a connection without TLS, where anybody on the way can read and use
  /// it. Default false: such calls fail with UNAUTHENTICATED before anything is sent.
  var allowsPlaintext: Bool { get }
  /// The metadata to add, e.g. `authorization`. The call's deadline goes on meanwhile.
  func metadata(for call: CallCredentialsRequest) async throws -> Metadata
}

extension CallCredentials {
  public var allowsPlaintext: Bool { false }
}

/// What a call's credentials are asked for.
public struct CallCredentialsRequest: Sendable {
  /// `https://orders.example/shop.Orders`: the audience of a token for this service.
  public var serviceURL: String
  /// `/shop.Orders/Place`
  public var path: String
}

extension CallRequest {
  /// The call with what the channel's credentials, and its own, add to it.
  /// - Parameter isSecure: nobody on the way can read what they add.
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
    let left: Duration? =
      end == .max ? nil : .nanoseconds(end > start ? Int64(clamping: end - start) : 0)
    let added: Metadata
    do {
      added = try await CallCredentialsRequest.ask(all, asked, within: left)
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
  fileprivate static func ask(
    _ credentials: [any CallCredentials], _ asked: CallCredentialsRequest, within timeout: Duration?
  ) async throws -> Metadata {
    try await withThrowingTaskGroup(of: Metadata.self) { group in
      defer { group.cancelAll() }
      group.addTask {
        var metadata = Metadata()
        for one in credentials { metadata.append(contentsOf: try await one.metadata(for: asked)) }
        return metadata
      }
      if let timeout {
        group.addTask {
          try await Task.sleep(for: timeout)
          throw RPCError(
            .deadlineExceeded, "the deadline passed while waiting for call credentials")
        }
      }
      return try await group.next() ?? Metadata()
    }
  }
}
