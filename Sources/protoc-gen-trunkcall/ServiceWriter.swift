// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

internal import SwiftProtobuf
internal import SwiftProtobufPluginLibrary

/// The text for one service.
struct ServiceWriter {
  private let service: ServiceDescriptor
  private let names: Names
  private let options: Options
  private let methods: [Method]
  private let type: String
  /// `public `, `package ` or nothing.
  private let access: String

  struct Method {
    let descriptor: MethodDescriptor
    let name: String
    /// Of the client's method that returns metadata too; nil where the plain one returns a stream.
    let responseName: String?
    let request: String
    let response: String
    let comment: String

    var path: String { "\(descriptor.service.fullName)/\(descriptor.name)" }
  }

  init(_ service: ServiceDescriptor, _ names: Names, _ options: Options) {
    self.service = service
    self.names = names
    self.options = options
    type = names.type(service)
    access = options.visibility == .internal ? "" : "\(options.visibility.rawValue) "
    let swiftNames = names.methods(of: service)
    let responseNames = names.responseMethods(of: service, beside: swiftNames)
    methods = service.methods.indices.map { index in
      let descriptor = service.methods[index]
      return Method(
        descriptor: descriptor, name: swiftNames[index], responseName: responseNames[index],
        request: names.message(descriptor.inputType, in: service),
        response: names.message(descriptor.outputType, in: service),
        comment: descriptor.protoSourceCommentsWithDeprecation())
    }
  }

  var text: String {
    var out = Lines()
    for (alias, name) in options.descriptors == .only ? [] : names.aliases(in: service) {
      out.add("\(access)typealias \(alias) = \(name)", "")
    }
    out.comment(service.protoSourceCommentsWithDeprecation())
    // `nonisolated`, since the module may be isolated to the main actor by default.
    out.add("\(access)nonisolated enum \(type) {")
    out.add("  \(access)static let name: Swift.String = \"\(service.fullName)\"")
    if options.descriptors != .left {
      out.add(
        "  /// What the .proto says, for server reflection.",
        "  \(access)static var descriptors: \(names.runtime("ProtoDescriptors")) { _descriptors }")
    }
    if options.descriptors == .only {
      out.add("}")
      return out.text
    }
    writeMethods(&out)
    if options.server { writeProtocol(&out) }
    if options.client { writeClient(&out) }
    out.add("}")
    if options.server { writeRegistration(&out) }
    return out.text
  }

  // MARK: - Descriptors

  private func writeMethods(_ out: inout Lines) {
    guard !methods.isEmpty else {
      // An empty enum, so that code that refers to it compiles.
      out.add("", "  \(access)nonisolated enum Methods {}")
      return
    }
    out.add("", "  \(access)nonisolated enum Methods {")
    for method in methods {
      let generic = names.runtime("MethodDescriptor") + "<\(method.request), \(method.response)>"
      var arguments = ["service: \"\(service.fullName)\"", "method: \"\(method.descriptor.name)\""]
      switch method.descriptor.options.idempotencyLevel {
      case .noSideEffects: arguments.append("idempotency: .noSideEffects")
      case .idempotent: arguments.append("idempotency: .idempotent")
      default: break
      }
      arguments += ["request: .protobuf", "response: .protobuf"]
      out.call("    \(access)static let \(method.name) = \(generic)(", arguments, ")")
    }
    out.add("  }")
  }

  // MARK: - Server

  private func writeProtocol(_ out: inout Lines) {
    out.add("", "  /// Implement this to serve `\(service.fullName)`.")
    if options.unimplementedDefaults, !methods.isEmpty {
      out.add("  /// Methods left out answer UNIMPLEMENTED.")
    }
    out.add("  \(access)nonisolated protocol Service: \(names.runtime("RPCService")) {")
    for method in methods {
      out.comment(method.comment, indent: "    ")
      out.call(
        "    nonisolated(nonsending) func \(method.name)(", handlerParameters(method, named: true),
        ") async throws\(handlerResult(method))")
    }
    out.add("  }")
  }

  private func writeRegistration(_ out: inout Lines) {
    out.add("", "nonisolated extension \(type).Service {")
    out.add(
      "  \(access)func register(in table: inout \(names.runtime("MethodTable"))) {")
    if options.descriptors != .left {
      out.add("    table.describe(\(type).name, \(type).descriptors)")
    }
    for method in methods {
      let count = handlerParameters(method, named: false).count
      let arguments = (0..<count).map { "$\($0)" }.joined(separator: ", ")
      out.call(
        "    table.\(shape(method))(", ["\(type).Methods.\(method.name)"],
        ") { try await self.\(method.name)(\(arguments)) }")
    }
    out.add("  }")
    if options.unimplementedDefaults {
      for method in methods {
        out.add("")
        out.call(
          "  \(access)nonisolated(nonsending) func \(method.name)(",
          handlerParameters(method, named: false), ") async throws\(handlerResult(method)) {")
        out.call(
          "    throw \(names.runtime("RPCError"))(",
          [".unimplemented", "\"\(method.path) is not implemented\""], ")")
        out.add("  }")
      }
    }
    out.add("}")
  }

  private func handlerParameters(_ method: Method, named: Bool) -> [String] {
    func parameter(_ name: String, _ type: String) -> String {
      named ? "_ \(name): \(type)" : "_: \(type)"
    }
    let request =
      method.descriptor.clientStreaming
      ? parameter("requests", names.runtime("RequestStream") + "<\(method.request)>")
      : parameter("request", method.request)
    let call = parameter("call", names.runtime("ServerCall"))
    guard method.descriptor.serverStreaming else { return [request, call] }
    return [
      request, parameter("responses", names.runtime("MessageWriter") + "<\(method.response)>"),
      call,
    ]
  }

  private func handlerResult(_ method: Method) -> String {
    method.descriptor.serverStreaming ? "" : " -> \(method.response)"
  }

  // MARK: - Client

  private func writeClient(_ out: inout Lines) {
    out.add(
      "", "  /// Calls `\(service.fullName)`.",
      "  \(access)nonisolated struct Client: \(names.runtime("ServiceClient")) {",
      "    \(access)var invoker: any \(names.runtime("CallInvoker"))",
      "    /// For every call; a field that a call sets itself wins.",
      "    \(access)var options = \(names.runtime("CallOptions"))()", "",
      "    \(access)init(_ invoker: any \(names.runtime("CallInvoker"))) {",
      "      self.invoker = invoker", "    }")
    for method in methods {
      out.add("")
      out.comment(method.comment, indent: "    ")
      writeCall(&out, method, method.name, clientResult(method), shape(method))
      if let name = method.responseName {
        out.add(
          "",
          "    /// As ``\(method.name)(_:options:)``, with metadata and peer beside the message.")
        writeCall(
          &out, method, name, names.runtime("UnaryResponse") + "<\(method.response)>",
          "unaryResponse")
      }
    }
    out.add("  }")
  }

  private func writeCall(
    _ out: inout Lines, _ method: Method, _ name: String, _ result: String, _ verb: String
  ) {
    let request = method.descriptor.clientStreaming ? [] : ["_ request: \(method.request)"]
    let argument = request.isEmpty ? "" : "request, "
    out.call(
      "    \(access)nonisolated(nonsending) func \(name)(",
      request + ["options: \(names.runtime("CallOptions"))? = nil"],
      ") async throws(\(names.runtime("RPCError"))) -> \(result) {")
    out.call(
      "      try await invoker.\(verb)(",
      ["Methods.\(method.name)", "\(argument)self.options.adding(options)"], ")")
    out.add("    }")
  }

  private func clientResult(_ method: Method) -> String {
    switch (method.descriptor.clientStreaming, method.descriptor.serverStreaming) {
    case (false, false): method.response
    case (false, true): names.runtime("ResponseStream") + "<\(method.response)>"
    case (true, false):
      names.runtime("ClientStreamingCall") + "<\(method.request), \(method.response)>"
    case (true, true):
      names.runtime("BidirectionalCall") + "<\(method.request), \(method.response)>"
    }
  }

  private func shape(_ method: Method) -> String {
    switch (method.descriptor.clientStreaming, method.descriptor.serverStreaming) {
    case (false, false): "unary"
    case (false, true): "serverStreaming"
    case (true, false): "clientStreaming"
    case (true, true): "bidirectional"
    }
  }
}
