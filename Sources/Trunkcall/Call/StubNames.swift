// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// What generated stubs refer to. They do so by this one name, because a module's name can be
/// shadowed: beside a message `Trunkcall` without a package `Trunkcall.RPCError` is a member of
/// that message. protoc-gen-trunkcall refuses a file that has a message or enum of this name.
///
/// Not for use by hand: `Trunkcall.ServerCall` and the others are the same types.
public enum _Trunkcall {
  public typealias BidirectionalCall<Request: Sendable, Response: Sendable> =
    Trunkcall.BidirectionalCall<Request, Response>
  public typealias CallInvoker = Trunkcall.CallInvoker
  public typealias CallOptions = Trunkcall.CallOptions
  public typealias ClientStreamingCall<Request: Sendable, Response: Sendable> =
    Trunkcall.ClientStreamingCall<Request, Response>
  public typealias MessageWriter<Message: Sendable> = Trunkcall.MessageWriter<Message>
  public typealias MethodDescriptor<Request: Sendable, Response: Sendable> =
    Trunkcall.MethodDescriptor<Request, Response>
  public typealias MethodTable = Trunkcall.MethodTable
  public typealias RequestStream<Message: Sendable> = Trunkcall.RequestStream<Message>
  public typealias ResponseStream<Message: Sendable> = Trunkcall.ResponseStream<Message>
  public typealias RPCError = Trunkcall.RPCError
  public typealias RPCService = Trunkcall.RPCService
  public typealias ServerCall = Trunkcall.ServerCall
  public typealias ServiceClient = Trunkcall.ServiceClient
  public typealias StubFormat = Trunkcall.StubFormat
  public typealias UnaryResponse<Message: Sendable> = Trunkcall.UnaryResponse<Message>
}
