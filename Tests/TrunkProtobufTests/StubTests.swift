// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

import EchoStubs
import Glibc
import GreeterStubs
import Testing
import Trunkcall

import struct OddStubs.Client
import enum OddStubs.TypeService

@testable import protoc_gen_trunkcall

// These need only compile: a service may be a struct, an actor or bound to an actor, whatever the
// default isolation of its module.
private struct Concurrent: Helloworld_Greeter.Service {
  @concurrent func sayHello(
    _ request: Helloworld_HelloRequest, _ call: ServerCall
  ) async throws -> Helloworld_HelloReply { Helloworld_HelloReply() }
}
private actor Counter: Helloworld_Greeter.Service {
  func sayHello(
    _ request: Helloworld_HelloRequest, _ call: ServerCall
  ) async throws -> Helloworld_HelloReply { Helloworld_HelloReply() }
}
private struct LeavesAllOut: Trunkcall_Test_Echo.Service {}

private struct Finder: TypeService.Service {
  func find(_ request: Client, _ call: ServerCall) async throws -> Client {
    try call.addTrailingMetadata(["found": "1"])
    return request
  }
  func findResponse(_ request: Client, _ call: ServerCall) async throws -> Client { request }
}

@Suite("Stubs")
struct StubTests {
  @Test("the committed stubs are what the plug-in writes")
  func committed() {
    let run = shell("'\(root)/Scripts/generate' --check --only-stubs --bin '\(products)'")
    #expect(run.status == 0, "\(run.output)")
  }

  @Test("services and methods keep the names of the .proto on the wire")
  func names() {
    #expect(Helloworld_Greeter.name == "helloworld.Greeter")
    #expect(TypeService.name == "Type")
    #expect(Trunkcall_Test_Echo.name == "trunkcall.test.Echo")
  }

  @Test(
    "method names become lower camel case",
    arguments: [
      ("SayHello", "sayHello"), ("Check", "check"), ("HTTPGet", "httpGet"), ("GET", "get"),
      ("getAll", "getAll"), ("get_all_things", "getAllThings"), ("GetURL", "getURL"), ("A", "a"),
      ("ABc", "aBc"), ("_x", "x"), ("__", "__"), ("V1Get", "v1Get"), ("_1", "_1"), ("_1_2", "_12"),
    ])
  func lowerCamel(_ proto: String, _ swift: String) {
    #expect(Names.lowerCamel(proto) == swift)
  }

  @Test(
    "an option that is wrong is named, and the choices with it",
    arguments: [("Visbility=Public", "unknown option"), ("Server=maybe", "cannot be 'maybe'")])
  func badOption(_ option: String, _ complaint: String) {
    let run = protoc(option, "helloworld.proto")
    #expect(run.status != 0)
    #expect(run.output.contains(complaint) && run.output.contains("Visibility=Internal"))
  }

  @Test("Server=false leaves the protocol out, Client=false the client")
  func halves() {
    let client = protoc("Server=false", "helloworld.proto").output
    #expect(client.contains("struct Client") && client.contains("static let sayHello"))
    #expect(!client.contains("protocol Service") && !client.contains("register(in"))
    let server = protoc("Client=false", "helloworld.proto").output
    #expect(!server.contains("struct Client") && server.contains("protocol Service"))
  }

  @Test("visibility is internal by default, and imports say nothing of it")
  func visibility() {
    let plain = protoc("", "helloworld.proto").output
    #expect(!plain.contains("public ") && plain.contains("\nimport Trunkcall\n"))
    #expect(!plain.contains("internal "))
    let package = protoc("Visibility=Package", "helloworld.proto").output
    #expect(package.contains("package nonisolated enum Helloworld_Greeter"))
    #expect(package.contains("\nimport Trunkcall\n"))
  }

  @Test("UseAccessLevelOnImports=true gives imports the access of what is generated")
  func imports() {
    let option = "UseAccessLevelOnImports=true"
    let plain = protoc(option, "helloworld.proto").output
    #expect(plain.contains("\ninternal import Trunkcall\n"))
    let open = protoc("Visibility=Public,\(option)", "helloworld.proto").output
    #expect(open.contains("\npublic import Trunkcall\n"))
    #expect(open.contains("\ninternal import TrunkProtobuf\n"))
  }

  @Test("every method has to be written, unless UnimplementedDefaults=true")
  func strict() {
    #expect(!protoc("", "helloworld.proto").output.contains("unimplemented"))
    let lenient = protoc("UnimplementedDefaults=true", "helloworld.proto").output
    #expect(lenient.contains(".unimplemented, \"helloworld.Greeter/SayHello is not implemented\""))
  }

  @Test("a method keeps its name beside the form with metadata of another")
  func responseNames() async throws {
    let client = TypeService.Client(InProcessChannel([Finder()]))
    _ = try await client.findResponse(.init())
    #expect(try await client.findResponse_(.init()).trailingMetadata["found"] == "1")
  }

  @Test(
    "no service is called as its methods, or as a word of Swift",
    arguments: [
      ("greeter", "Greeter"), ("_1", "Service_1"), ("__", "Service__"), ("Odd_any", "Odd_any"),
    ])
  func upperCamel(_ proto: String, _ swift: String) {
    #expect(Names.upperCamel(proto) == swift)
  }

  @Test("a type that is called as stubs call the library is refused, with a way out")
  func reserved() {
    let run = protoc("", text: "message _Trunkcall {} service S {}")
    #expect(run.status != 0 && run.output.contains("swift_prefix"))
    #expect(protoc("", text: "package p; message _Trunkcall {} service S {}").status == 0)
  }

  @Test("a carriage return in a comment ends no comment")
  func carriageReturn() {
    let output = protoc("", text: "// a\rlet b = 1\nservice S {}").output
    #expect(!output.contains("\rlet b") && !output.contains("\nlet b"))
  }

  @Test("the file name follows FileNaming; a file without services has an empty stub")
  func files() {
    let proto = "trunkcall/odd_types.proto"
    #expect(protoc("", proto).output.contains("./trunkcall/odd_types.trunk.swift"))
    #expect(protoc("FileNaming=DropPath", proto).output.contains("./odd_types.trunk.swift"))
    let run = protoc("FileNaming=PathToUnderscores", proto)
    #expect(run.output.contains("./trunkcall_odd_types.trunk.swift"))
    #expect(run.output.contains("no services") && !run.output.contains("import"))
  }
}

// MARK: - Running protoc

let root = #filePath.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 }

/// Where this build has put its programs: beside the tests.
let products: String = {
  var buffer = [CChar](repeating: 0, count: 4096)
  let count = max(0, readlink("/proc/self/exe", &buffer, buffer.count))
  let path = String(decoding: buffer[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
  return path.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 }
}()

/// What the plug-in makes of `proto`: names of files, then their text; or protoc's complaint.
func protoc(_ options: String, _ proto: String) -> (status: Int32, output: String) {
  shell(
    """
    out=$(mktemp -d) && trap 'rm -rf "$out"' EXIT && \
    protoc -I '\(root)/Protos' --plugin='protoc-gen-trunkcall=\(products)/protoc-gen-trunkcall' \
    --trunkcall_out='\(options):'"$out" \(proto) && cd "$out" && \
    find . -type f && find . -type f -exec cat {} +
    """)
}

/// The same for a .proto that has this text after its syntax.
func protoc(_ options: String, text: String) -> (status: Int32, output: String) {
  shell(
    """
    out=$(mktemp -d) && trap 'rm -rf "$out"' EXIT && \
    { echo 'syntax = "proto3";' && cat <<'TEXT'
    \(text)
    TEXT
    } >"$out/t.proto" && \
    protoc -I "$out" --plugin='protoc-gen-trunkcall=\(products)/protoc-gen-trunkcall' \
    --trunkcall_out='\(options):'"$out" t.proto && cat "$out/t.trunk.swift"
    """)
}

func shell(_ command: String) -> (status: Int32, output: String) {
  guard let pipe = popen("{ \(command)\n} 2>&1", "r") else { return (-1, "popen failed") }
  var output: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 4096)
  while true {
    let count = fread(&buffer, 1, buffer.count, pipe)
    if count == 0 { break }
    output += buffer[..<count]
  }
  return (pclose(pipe), String(decoding: output, as: UTF8.self))
}
