// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
//
// error: type 'NearMiss' does not conform to protocol 'Consumer_Greeter.Service'
import ConsumerStubs
import Trunkcall

struct NearMiss: Consumer_Greeter.Service {
  func sayHello(_ request: Consumer_HelloRequest) async throws -> Consumer_HelloReply {
    Consumer_HelloReply()
  }
  func sayHellos(
    _ request: Consumer_HelloRequest, _ responses: MessageWriter<Consumer_HelloReply>,
    _ call: ServerCall
  ) async throws {}
  func sayHelloToAll(
    _ requests: RequestStream<Consumer_HelloRequest>, _ call: ServerCall
  ) async throws -> Consumer_HelloReply { Consumer_HelloReply() }
  func chat(
    _ requests: RequestStream<Consumer_HelloRequest>,
    _ responses: MessageWriter<Consumer_HelloReply>, _ call: ServerCall
  ) async throws {}
}
