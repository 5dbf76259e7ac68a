// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import FoundationEssentials
public import InteropStubs
internal import SwiftProtobuf
internal import Synchronization
public import Trunkcall

/// `grpc.testing.TestService` by interop-test-descriptions.md: sizes, intervals, compression,
/// status and metadata as the client requests. `UnimplementedCall` is not implemented, as the
/// document requires.
public struct InteropTestService: Grpc_Testing_TestService.Service {
  /// Largest payload that a client can request, in bytes. Beyond it RESOURCE_EXHAUSTED.
  public static let maxPayload = 64 << 20
  /// Requests that HalfDuplexCall buffers before it responds. Beyond it RESOURCE_EXHAUSTED.
  public static let maxHalfDuplexRequests = 10_000

  /// Sent with every response; unique to this instance.
  public let serverID: String
  /// What clients have it report out of band (`orca_oob_report`): for a `LoadReportService`.
  public let load: LoadRecorder
  private let reports = OneAtATime()

  /// - Parameters:
  ///   - serverID: by default random.
  ///   - load: by default one of its own, which nothing reports.
  public init(
    serverID: String = "trunkcall-\(UInt64.random(in: 1...UInt64.max))",
    load: LoadRecorder = LoadRecorder()
  ) {
    self.serverID = serverID
    self.load = load
  }

  /// An empty response.
  public func emptyCall(
    _ request: Grpc_Testing_Empty, _ call: ServerCall
  ) async throws -> Grpc_Testing_Empty {
    try InteropTestService.echoMetadata(call)
    return Grpc_Testing_Empty()
  }

  /// A payload of the requested size.
  /// - Throws: the requested status; INVALID_ARGUMENT for a wrong compressed flag or size.
  public func unaryCall(
    _ request: Grpc_Testing_SimpleRequest, _ call: ServerCall
  ) async throws -> Grpc_Testing_SimpleResponse {
    try InteropTestService.echoMetadata(call)
    if request.hasExpectCompressed {
      try InteropTestService.check(call, request.expectCompressed.value)
    }
    if request.hasOrcaPerQueryReport {
      try call.setLoadReport(LoadReport(request.orcaPerQueryReport))
    }
    if request.hasResponseStatus { try InteropTestService.end(request.responseStatus) }
    if request.responseCompressed.value { try call.compressResponses(with: .gzip) }
    var response = Grpc_Testing_SimpleResponse()
    response.payload = try InteropTestService.payload(request.responseType, request.responseSize)
    if request.fillServerID { response.serverID = serverID }
    return response
  }

  /// As ``unaryCall(_:_:)``, with `cache-control` metadata.
  public func cacheableUnaryCall(
    _ request: Grpc_Testing_SimpleRequest, _ call: ServerCall
  ) async throws -> Grpc_Testing_SimpleResponse {
    try InteropTestService.echoMetadata(call)
    try call.addInitialMetadata(["cache-control": "max-age=60, public"])
    var response = Grpc_Testing_SimpleResponse()
    response.payload.body.append(contentsOf: "\(ContinuousClock.now)".utf8)
    return response
  }

  /// Payloads of the requested sizes, after the requested intervals.
  public func streamingOutputCall(
    _ request: Grpc_Testing_StreamingOutputCallRequest,
    _ replies: MessageWriter<Grpc_Testing_StreamingOutputCallResponse>, _ call: ServerCall
  ) async throws {
    try InteropTestService.echoMetadata(call)
    try call.compressResponses(with: .gzip)
    try await InteropTestService.answer(request, replies, call)
  }

  /// The sum of the requests' payload sizes.
  public func streamingInputCall(
    _ requests: RequestStream<Grpc_Testing_StreamingInputCallRequest>, _ call: ServerCall
  ) async throws -> Grpc_Testing_StreamingInputCallResponse {
    try InteropTestService.echoMetadata(call)
    var size = 0
    for try await request in requests {
      if request.hasExpectCompressed {
        try InteropTestService.check(call, request.expectCompressed.value)
      }
      size += request.payload.body.count
    }
    var response = Grpc_Testing_StreamingInputCallResponse()
    response.aggregatedPayloadSize = Int32(clamping: size)
    return response
  }

  /// Answers each request when it comes. One call at a time controls what is reported out of band,
  /// from its first `orca_oob_report` to its end.
  public func fullDuplexCall(
    _ requests: RequestStream<Grpc_Testing_StreamingOutputCallRequest>,
    _ replies: MessageWriter<Grpc_Testing_StreamingOutputCallResponse>, _ call: ServerCall
  ) async throws {
    try InteropTestService.echoMetadata(call)
    try call.compressResponses(with: .gzip)
    var controls = false
    defer { if controls { reports.release() } }
    for try await request in requests {
      if request.hasOrcaOobReport {
        if !controls { try await reports.take() }
        controls = true
        let report = LoadReport(request.orcaOobReport)
        try load.update { $0 = report }
      }
      try await InteropTestService.answer(request, replies, call)
    }
  }

  /// Answers all requests after the last one; at most ``maxHalfDuplexRequests``.
  public func halfDuplexCall(
    _ requests: RequestStream<Grpc_Testing_StreamingOutputCallRequest>,
    _ replies: MessageWriter<Grpc_Testing_StreamingOutputCallResponse>, _ call: ServerCall
  ) async throws {
    try InteropTestService.echoMetadata(call)
    try call.compressResponses(with: .gzip)
    var kept: [Grpc_Testing_StreamingOutputCallRequest] = []
    for try await var request in requests {
      guard kept.count < InteropTestService.maxHalfDuplexRequests else {
        throw RPCError(
          .resourceExhausted,
          "HalfDuplexCall keeps at most \(InteropTestService.maxHalfDuplexRequests) requests")
      }
      request.clearPayload()
      kept.append(request)
    }
    for request in kept { try await InteropTestService.answer(request, replies, call) }
  }
}

/// Lets one call after the other have something.
private final class OneAtATime: Sendable {
  private let isTaken = Atomic<Bool>(false)

  func take() async throws {
    while isTaken.exchange(true, ordering: .acquiring) {
      try await Task.sleep(for: .milliseconds(10))
    }
  }
  func release() { isTaken.store(false, ordering: .releasing) }
}

// MARK: - What the requests ask for

extension InteropTestService {
  static let echoInitial = "x-grpc-test-echo-initial"
  static let echoTrailing = "x-grpc-test-echo-trailing-bin"

  private static func echoMetadata(_ call: ServerCall) throws {
    var initial = Metadata()
    for value in call.metadata[all: echoInitial] { initial.add(value, for: echoInitial) }
    if !initial.isEmpty { try call.addInitialMetadata(initial) }
    var trailing = Metadata()
    for value in call.metadata[binary: echoTrailing] {
      trailing.add(binary: value, for: echoTrailing)
    }
    if !trailing.isEmpty { try call.addTrailingMetadata(trailing) }
  }

  /// CompressedRequest.
  private static func check(_ call: ServerCall, _ expected: Bool) throws {
    guard call.requestWasCompressed != expected else { return }
    throw RPCError(
      .invalidArgument,
      expected ? "a compressed message was to come" : "an uncompressed message was to come")
  }

  /// Echo Status.
  private static func end(_ status: Grpc_Testing_EchoStatus) throws {
    guard status.code != 0 else { return }
    throw RPCError(RPCError.Code(rawValue: Int(status.code)) ?? .unknown, status.message)
  }

  private static func answer(
    _ request: Grpc_Testing_StreamingOutputCallRequest,
    _ replies: MessageWriter<Grpc_Testing_StreamingOutputCallResponse>, _ call: ServerCall
  ) async throws {
    if request.hasResponseStatus { try end(request.responseStatus) }
    for parameters in request.responseParameters {
      if parameters.intervalUs > 0 {
        try await Task.sleep(for: .microseconds(parameters.intervalUs))
      }
      var reply = Grpc_Testing_StreamingOutputCallResponse()
      reply.payload = try payload(request.responseType, parameters.size)
      if parameters.fillPeerSocketAddress.value { reply.peerSocketAddress = call.peer }
      // The call can compress; each response is compressed only if the client requests it.
      try await replies.write(reply, compressed: parameters.compressed.value)
    }
  }

  private static func payload(
    _ type: Grpc_Testing_PayloadType, _ size: Int32
  ) throws -> Grpc_Testing_Payload {
    guard type == .compressable else {
      throw RPCError(.invalidArgument, "response_type \(type.rawValue) is unknown")
    }
    guard size >= 0 else { throw RPCError(.invalidArgument, "a size of \(size) bytes") }
    guard size <= maxPayload else {
      throw RPCError(
        .resourceExhausted, "a payload of \(size) bytes is over the limit of \(maxPayload) bytes")
    }
    var payload = Grpc_Testing_Payload()
    payload.body = .init(count: Int(size))
    return payload
  }
}
