// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The types that generated stubs refer to. They do so by this one name, because a module's name
/// can be
/// shadowed: beside a message `Trunkcall` without a package `Trunkcall.RPCError` is a member of
/// that message. protoc-gen-trunkcall refuses a file that has a message or enum of this name.
///
/// Not for use by hand: `Trunkcall.ServerCall` and the others are the same types.
public enum _Trunkcall {
  /// See ``Trunkcall/BidirectionalCall``.
  public typealias BidirectionalCall<Request: Sendable, Response: Sendable> =
    Trunkcall.BidirectionalCall<Request, Response>
  /// See ``Trunkcall/CallInvoker``.
  public typealias CallInvoker = Trunkcall.CallInvoker
  /// See ``Trunkcall/CallOptions``.
  public typealias CallOptions = Trunkcall.CallOptions
  /// See ``Trunkcall/ClientStreamingCall``.
  public typealias ClientStreamingCall<Request: Sendable, Response: Sendable> =
    Trunkcall.ClientStreamingCall<Request, Response>
  /// See ``Trunkcall/MessageWriter``.
  public typealias MessageWriter<Message: Sendable> = Trunkcall.MessageWriter<Message>
  /// See ``Trunkcall/MethodDescriptor``.
  public typealias MethodDescriptor<Request: Sendable, Response: Sendable> =
    Trunkcall.MethodDescriptor<Request, Response>
  /// See ``Trunkcall/MethodTable``.
  public typealias MethodTable = Trunkcall.MethodTable
  /// See ``Trunkcall/ProtoDescriptors``.
  public typealias ProtoDescriptors = Trunkcall.ProtoDescriptors
  /// See ``Trunkcall/RequestStream``.
  public typealias RequestStream<Message: Sendable> = Trunkcall.RequestStream<Message>
  /// See ``Trunkcall/ResponseStream``.
  public typealias ResponseStream<Message: Sendable> = Trunkcall.ResponseStream<Message>
  /// See `RPCError`.
  public typealias RPCError = Trunkcall.RPCError
  /// See ``Trunkcall/RPCService``.
  public typealias RPCService = Trunkcall.RPCService
  /// See ``Trunkcall/ServerCall``.
  public typealias ServerCall = Trunkcall.ServerCall
  /// See ``Trunkcall/ServiceClient``.
  public typealias ServiceClient = Trunkcall.ServiceClient
  /// See ``Trunkcall/StubFormat``.
  public typealias StubFormat = Trunkcall.StubFormat
  /// See ``Trunkcall/UnaryResponse``.
  public typealias UnaryResponse<Message: Sendable> = Trunkcall.UnaryResponse<Message>
}
