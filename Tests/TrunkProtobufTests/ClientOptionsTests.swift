// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import EchoStubs
import GreeterStubs
import Synchronization
import Testing
import Trunkcall

@Suite("Options of generated clients")
struct ClientOptionsTests {
  /// Keeps the options of the calls it is asked for, and fails them.
  private final class Recorder: CallInvoker {
    let options = Mutex<[CallOptions]>([])
    func unary(_ call: CallRequest, _ frame: [UInt8]) async throws(RPCError) -> CallResponse {
      options.withLock { $0.append(call.options) }
      throw RPCError(.unavailable, "")
    }
    func stream(_ call: CallRequest) async throws(RPCError) -> any ClientStream {
      options.withLock { $0.append(call.options) }
      throw RPCError(.unavailable, "")
    }
  }

  @Test("a call with metadata alone keeps the client's timeout, in every shape of call")
  func kept() async throws {
    let recorder = Recorder()
    var greeter = Helloworld_Greeter.Client(recorder)
    greeter.options.timeout = .milliseconds(300)
    var echo = Trunkcall_Test_Echo.Client(recorder)
    echo.options.timeout = .milliseconds(300)
    let own = CallOptions(metadata: ["x": "y"])
    _ = try? await greeter.sayHello(Helloworld_HelloRequest(), options: own)
    _ = try? await greeter.sayHelloResponse(Helloworld_HelloRequest(), options: own)
    _ = try? await echo.chat(options: own)
    _ = try? await greeter.sayHello(Helloworld_HelloRequest())
    let seen = recorder.options.withLock { $0 }
    #expect(seen.map(\.timeout) == Array(repeating: .milliseconds(300), count: 4))
    #expect(seen.map { $0.metadata["x"] } == ["y", "y", "y", nil])
  }

  @Test("with(timeout:) and with(options:) make a copy, and leave the client as it is")
  func copies() async throws {
    let recorder = Recorder()
    var greeter = Helloworld_Greeter.Client(recorder)
    greeter.options.timeout = .seconds(5)
    _ = try? await greeter.with(timeout: .milliseconds(300)).sayHello(Helloworld_HelloRequest())
    _ = try? await greeter.with(timeout: nil).sayHello(Helloworld_HelloRequest())
    _ = try? await greeter.with(options: CallOptions(waitForReady: true))
      .sayHello(Helloworld_HelloRequest())
    _ = try? await greeter.sayHello(Helloworld_HelloRequest())
    let seen = recorder.options.withLock { $0 }
    #expect(seen.map(\.timeout) == [.milliseconds(300), nil, .seconds(5), .seconds(5)])
    #expect(seen.map(\.waitForReady) == [nil, nil, true, nil])
  }
}
