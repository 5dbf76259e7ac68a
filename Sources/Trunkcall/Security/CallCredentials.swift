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

extension GRPCChannel {
  /// The call with what its credentials, and the channel's, add to it.
  func authorized(_ request: CallRequest) async throws(RPCError) -> CallRequest {
    let all = hub.settings.credentials + request.options.credentials
    let isSecure = hub.settings.isSecure
    guard isSecure || all.allSatisfy(\.allowsPlaintext) else {
      throw RPCError(
        .unauthenticated, "call credentials are not sent over a channel without TLS")
    }
    let path = request.method.text
    let service = path.prefix(upTo: path.lastIndex(of: "/") ?? path.endIndex)
    let asked = CallCredentialsRequest(
      serviceURL: "\(isSecure ? "https" : "http")://\(hub.settings.authority)\(service)",
      path: path)
    let start = Clock.now()
    let added: Metadata
    do {
      added = try await CallCredentialsRequest.ask(all, asked, within: request.options.timeout)
    } catch let error as RPCError {
      throw error.code == .deadlineExceeded ? error : error.fromControlPlane
    } catch is CancellationError {
      throw RPCError(.cancelled, "the call was cancelled")
    } catch {
      throw RPCError(.unauthenticated, "no call credentials: \(error)")
    }
    var request = request
    request.options.metadata.append(contentsOf: added)
    if let timeout = request.options.timeout {
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
