// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
public import EchoStubs
internal import Glibc
internal import SwiftProtobuf
internal import TrunkSockets
public import Trunkcall

/// `trunkcall.test.Echo` as Protos/trunkcall/echo.proto describes it.
public struct EchoService: Trunkcall_Test_Echo.Service {
  let name: String

  public init(name: String = "swift") { self.name = name }

  public func unary(
    _ request: Trunkcall_Test_EchoRequest, _ call: ServerCall
  ) async throws -> Trunkcall_Test_EchoReply {
    try echoMetadata(call)
    try await act(request)
    try finish(request)
    return reply(request, 0)
  }

  public func collect(
    _ requests: RequestStream<Trunkcall_Test_EchoRequest>, _ call: ServerCall
  ) async throws -> Trunkcall_Test_EchoReply {
    try echoMetadata(call)
    var sum = Trunkcall_Test_EchoReply()
    var texts: [String] = []
    for try await request in requests {
      try await act(request)
      try finish(request)
      texts.append(request.text)
      sum.payload.append(contentsOf: request.payload)
      sum.number += 1
    }
    sum.text = texts.joined(separator: " ")
    sum.server = name
    return sum
  }

  public func expand(
    _ request: Trunkcall_Test_EchoRequest, _ replies: MessageWriter<Trunkcall_Test_EchoReply>,
    _ call: ServerCall
  ) async throws {
    try echoMetadata(call)
    for number in 0..<max(0, request.count) {
      try await act(request)
      try await replies.write(reply(request, number))
    }
    try finish(request)
  }

  public func chat(
    _ requests: RequestStream<Trunkcall_Test_EchoRequest>,
    _ replies: MessageWriter<Trunkcall_Test_EchoReply>, _ call: ServerCall
  ) async throws {
    try echoMetadata(call)
    for try await request in requests {
      try await act(request)
      try finish(request)
      for number in 0..<max(1, request.count) { try await replies.write(reply(request, number)) }
    }
  }

  private func echoMetadata(_ call: ServerCall) throws {
    for (kind, isInitial) in [("initial", true), ("trailing", false)] {
      var metadata = Metadata()
      let text = "x-echo-\(kind)"
      for value in call.metadata[all: text] { metadata.add(value, for: text) }
      for value in call.metadata[binary: text + "-bin"] {
        metadata.add(binary: value, for: text + "-bin")
      }
      guard !metadata.isEmpty else { continue }
      if isInitial {
        try call.addInitialMetadata(metadata)
      } else {
        try call.addTrailingMetadata(metadata)
      }
    }
  }

  private func act(_ request: Trunkcall_Test_EchoRequest) async throws {
    if request.sleepMs > 0 { try await Task.sleep(for: .milliseconds(request.sleepMs)) }
    if request.burnMs > 0 {
      let end = Clock.now() + UInt64(request.burnMs) * 1_000_000
      while Clock.now() < end {}
    }
    if request.blockMs > 0 { usleep(UInt32(request.blockMs) * 1_000) }
  }

  private func finish(_ request: Trunkcall_Test_EchoRequest) throws {
    guard request.statusCode != 0 else { return }
    let code = RPCError.Code(rawValue: Int(request.statusCode)) ?? .unknown
    throw RPCError(code, request.statusMessage)
  }

  private func reply(_ request: Trunkcall_Test_EchoRequest, _ number: Int32)
    -> Trunkcall_Test_EchoReply
  {
    .with {
      $0.text = request.text
      $0.payload = request.payload
      $0.payload.append(contentsOf: [UInt8](repeating: 0, count: Int(max(0, request.replyPadding))))
      $0.number = number
      $0.server = name
    }
  }
}
