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
    let request: String
    let reply: String
    let comment: String

    var path: String { "\(descriptor.service.fullName)/\(descriptor.name)" }
  }

  init(_ service: ServiceDescriptor, _ names: Names, _ options: Options) {
    self.service = service
    self.names = names
    self.options = options
    type = names.type(service)
    access = options.visibility == .internal ? "" : "\(options.visibility.rawValue) "
    methods = zip(service.methods, names.methods(of: service)).map { descriptor, name in
      Method(
        descriptor: descriptor, name: name,
        request: names.message(descriptor.inputType, in: service),
        reply: names.message(descriptor.outputType, in: service),
        comment: descriptor.protoSourceCommentsWithDeprecation())
    }
  }

  var text: String {
    var out = Lines()
    for (alias, name) in names.aliases(in: service) {
      out.add("\(access)typealias \(alias) = \(name)", "")
    }
    out.comment(service.protoSourceCommentsWithDeprecation())
    out.add("\(access)enum \(type) {")
    out.add("  \(access)static let name = \"\(service.fullName)\"")
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
      // An empty enum for the sake of those that name it.
      out.add("", "  \(access)enum Methods {}")
      return
    }
    out.add("", "  \(access)enum Methods {")
    for method in methods {
      let generic = names.runtime("MethodDescriptor") + "<\(method.request), \(method.reply)>"
      var arguments = ["service: name", "method: \"\(method.descriptor.name)\""]
      switch method.descriptor.options.idempotencyLevel {
      case .noSideEffects: arguments.append("idempotency: .noSideEffects")
      case .idempotent: arguments.append("idempotency: .idempotent")
      default: break
      }
      arguments += ["request: .protobuf", "reply: .protobuf"]
      out.call("    \(access)static let \(method.name) = \(generic)(", arguments, ")")
    }
    out.add("  }")
  }

  // MARK: - Server

  private func writeProtocol(_ out: inout Lines) {
    out.add("", "  /// Implement this to serve `\(service.fullName)`.")
    if !options.strict, !methods.isEmpty {
      out.add("  /// Methods left out answer UNIMPLEMENTED.")
    }
    out.add("  \(access)protocol Service: \(names.runtime("RPCService")) {")
    for method in methods {
      out.comment(method.comment, indent: "    ")
      out.call(
        "    nonisolated(nonsending) func \(method.name)(", handlerParameters(method, named: true),
        ") async throws\(handlerResult(method))")
    }
    out.add("  }")
  }

  private func writeRegistration(_ out: inout Lines) {
    out.add("", "extension \(type).Service {")
    out.add(
      "  \(access)func register(in table: inout \(names.runtime("MethodTable"))) {")
    for method in methods {
      let count = handlerParameters(method, named: false).count
      let arguments = (0..<count).map { "$\($0)" }.joined(separator: ", ")
      out.call(
        "    table.\(shape(method))(", ["\(type).Methods.\(method.name)"],
        ") { try await self.\(method.name)(\(arguments)) }")
    }
    out.add("  }")
    if !options.strict {
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
      request, parameter("replies", names.runtime("MessageWriter") + "<\(method.reply)>"), call,
    ]
  }

  private func handlerResult(_ method: Method) -> String {
    method.descriptor.serverStreaming ? "" : " -> \(method.reply)"
  }

  // MARK: - Client

  private func writeClient(_ out: inout Lines) {
    out.add(
      "", "  /// Calls `\(service.fullName)`.",
      "  \(access)struct Client: Sendable {",
      "    \(access)var invoker: any \(names.runtime("CallInvoker"))",
      "    /// For calls that are given none of their own.",
      "    \(access)var options = \(names.runtime("CallOptions"))()", "",
      "    \(access)init(_ invoker: any \(names.runtime("CallInvoker"))) {",
      "      self.invoker = invoker", "    }")
    for method in methods {
      out.add("")
      out.comment(method.comment, indent: "    ")
      let request = method.descriptor.clientStreaming ? [] : ["_ request: \(method.request)"]
      let argument = request.isEmpty ? "" : "request, "
      out.call(
        "    \(access)nonisolated(nonsending) func \(method.name)(",
        request + ["options: \(names.runtime("CallOptions"))? = nil"],
        ") async throws(\(names.runtime("RPCError"))) -> \(clientResult(method)) {")
      out.call(
        "      try await invoker.\(shape(method))(",
        ["Methods.\(method.name)", "\(argument)options ?? self.options"], ")")
      out.add("    }")
    }
    out.add("  }")
  }

  private func clientResult(_ method: Method) -> String {
    switch (method.descriptor.clientStreaming, method.descriptor.serverStreaming) {
    case (false, false): method.reply
    case (false, true): names.runtime("ResponseStream") + "<\(method.reply)>"
    case (true, false):
      names.runtime("ClientStreamingCall") + "<\(method.request), \(method.reply)>"
    case (true, true):
      names.runtime("BidirectionalCall") + "<\(method.request), \(method.reply)>"
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
