// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
import TrunkConsul
import TrunkDiscovery
import TrunkSockets
import TrunkWire

/// Any split of the same bytes gives the same messages and the same end.
@Sendable func fuzzMessages(_ input: [UInt8]) {
  struct Result: Equatable {
    var messages: [[UInt8]] = []
    var flags: [Bool] = []
    var error: FramingError?
    var isMidMessage = false
  }
  func read(_ bytes: [UInt8], _ sizes: [UInt8], limit: Int) -> Result {
    var reader = MessageReader(limit: limit)
    var result = Result()
    split(bytes, sizes) { chunk in
      guard result.error == nil else { return }
      chunk.withUnsafeBytes { raw in
        do throws(FramingError) {
          try reader.receive(raw) { payload, compressed in
            result.messages.append(payload)
            result.flags.append(compressed)
          }
        } catch { result.error = error }
      }
      holds(reader.buffered <= limit, "no more is kept than a message may have")
    }
    result.isMidMessage = result.error == nil && reader.isMidMessage
    return result
  }
  var choices = Choices(input)
  let limit = Int(choices.byte()) * Int(choices.byte())
  let sizes = choices.bytes(Int(choices.byte()) & 3)
  let bytes = choices.all()
  let whole = read(bytes, [], limit: limit)
  holds(whole == read(bytes, sizes, limit: limit), "a split changes nothing")
  holds(whole.messages.allSatisfy { $0.count <= limit }, "no message is over the limit")
  // What was read is what was written.
  var written: [UInt8] = []
  for (payload, flag) in zip(whole.messages, whole.flags) {
    var frame = [0, 0, 0, 0, 0] + payload
    MessageFrame.seal(&frame, compressed: flag)
    written += frame
  }
  holds(bytes.starts(with: written), "frames and messages are the same bytes")
}

/// Any bytes are a message or an error, within the limit; what was compressed comes back.
@Sendable func fuzzInflater(_ input: [UInt8]) {
  var choices = Choices(input)
  let algorithm = choices.byte() & 1 == 0 ? Compression.gzip : .deflate
  let limit = Int(choices.byte()) * Int(choices.byte())
  let bytes = choices.all()
  if let message = try? Inflater.inflate(bytes, algorithm, limit: limit) {
    holds(message.count <= limit, "no message is over the limit")
  }
  if let frame = try? Deflater.frame([0, 0, 0, 0, 0] + bytes, algorithm) {
    let payload = Array(frame.dropFirst(MessageFrame.prefixLength))
    let again = try? Inflater.inflate(payload, algorithm, limit: bytes.count)
    holds(again == bytes, "decompressing undoes compressing")
    if bytes.count > 0 {
      let short = try? Inflater.inflate(payload, algorithm, limit: bytes.count - 1)
      holds(short == nil, "the limit holds for what comes out")
    }
  }
  let set = bytes.withUnsafeBytes { CompressionSet(wire: $0) }
  let names = "\(set.wireNames)"
  let again = Array(names.utf8).withUnsafeBytes { CompressionSet(wire: $0) }
  holds(again == set, "what is accepted reads as it was written")
}

/// As the messages; and a connection is kept only after a whole answer.
@Sendable func fuzzHTTP1(_ input: [UInt8]) {
  func read(_ bytes: [UInt8], _ sizes: [UInt8]) -> (HTTPResponseParser, HTTPError?) {
    var limits = HTTPLimits()
    limits.head = 256
    limits.headerCount = 8
    limits.body = 512
    var parser = HTTPResponseParser(limits: limits)
    var failure: HTTPError?
    split(bytes, sizes) { chunk in
      guard failure == nil else { return }
      do throws(HTTPError) { try parser.receive(chunk) } catch { failure = error }
    }
    if failure == nil { do throws(HTTPError) { try parser.finish() } catch { failure = error } }
    return (parser, failure)
  }
  var choices = Choices(input)
  let sizes = choices.bytes(Int(choices.byte()) & 3)
  let bytes = choices.all()
  let (whole, error) = read(bytes, [])
  let (parts, other) = read(bytes, sizes)
  holds(error == other, "a split changes no error")
  if error == nil {
    holds(whole.response != nil, "without an error there is an answer")
    holds(whole.response?.body == parts.response?.body, "a split changes no answer")
    holds(whole.response?.status == parts.response?.status, "a split changes no status")
    holds(whole.keepsAlive == parts.keepsAlive, "a split changes nothing about the connection")
    holds((whole.response?.body.count ?? 0) <= 512, "no body is over the limit")
  } else {
    holds(!whole.keepsAlive, "a broken connection is not kept")
  }
}

/// Whatever the fields of a block are: reading never traps, and what is written can be read.
@Sendable func fuzzHeaders(_ input: [UInt8]) {
  func raw<R>(_ bytes: [UInt8], _ body: (UnsafeRawBufferPointer) -> R) -> R {
    bytes.withUnsafeBytes(body)
  }
  var choices = Choices(input)
  var metadata = Metadata()
  while !choices.isEmpty {
    let kind = choices.byte()
    let name = choices.bytes(Int(choices.byte()) & 15)
    let value = choices.bytes(Int(choices.byte()) & 63)
    switch kind % 6 {
    case 0:
      if let time = raw(value, { GRPCTimeout.parse($0) }) {
        let encoded = GRPCTimeout.encode(nanoseconds: time)
        holds(encoded.count <= 9, "a timeout has at most eight digits and a unit")
        let again = raw(encoded) { GRPCTimeout.parse($0) }
        holds(again.map { $0 <= max(time, 1) } == true, "a timeout never grows")
      }
    case 1:
      if raw(value, { GRPCStatus(parsing: $0) }) == .ok { holds(value == [48], "0 alone is OK") }
    case 2:
      let message = raw(value) { PercentEncoding.decode($0) }
      let encoded: [UInt8] = PercentEncoding.encode(message)
      holds(encoded.allSatisfy { (0x20...0x7e).contains($0) }, "encoded is printable ASCII")
      holds(raw(encoded) { PercentEncoding.decode($0) } == message, "decoding undoes encoding")
    case 3:
      let decoded = raw(value) { Base64.decode($0) }
      holds((decoded != nil) == raw(value) { Base64.isValid($0) }, "valid is what can be decoded")
      if let decoded {
        let text: String = Base64.encode(decoded)
        let again = Array(text.utf8)
        holds(raw(again) { Base64.decode($0) } == decoded, "decoding undoes encoding")
      }
      let text: String = Base64.encode(value)
      holds(raw(Array(text.utf8)) { Base64.decode($0) } == value, "any bytes survive base64")
    case 4:
      raw(value) { path in
        if let names = MethodPath(path) {
          holds(
            names.service.count + names.method.count + 2 == path.count, "a path is its two names")
        }
      }
    default: break
    }
    // HTTP/2 lets no name in upper case pass (RFC 9113 §8.2.1).
    let lower = name.map { (65...90).contains($0) ? $0 | 32 : $0 }
    raw(lower) { name in raw(value) { value in metadata.append(name, value) } }
  }
  var pairs = 0
  for (name, value) in metadata {
    pairs += 1
    _ = metadata[name]
    if name.utf8.allSatisfy({ $0 < 128 }) {
      holds(metadata[all: name].contains(value), "what is there is found")
    }
    _ = metadata[binary: name]
  }
  holds(pairs == metadata.count, "every pair is seen once")
  for place in [MetadataPlace.request, .initial, .trailers] {
    let outgoing = metadata.outgoing(place)
    holds(
      outgoing.metadata.count + outgoing.refused.count + outgoing.leftOut.count == metadata.count,
      "every pair is sent, refused or left out")
    let again = outgoing.metadata.outgoing(place)
    holds(again.metadata == outgoing.metadata, "what can be sent can be sent on")
  }
  _ = metadata.description
  var pairsAgain = metadata.makeIterator()
  if let name = pairsAgain.next()?.name {
    metadata[name] = nil
    holds(metadata[name] == nil, "what was removed is gone")
  }
}

/// Any text is a target or an error with a place in it; nothing secret is printed.
@Sendable func fuzzTargets(_ input: [UInt8]) {
  let text = String(decoding: input, as: UTF8.self)
  do throws(TargetError) {
    let target = try Target.parse(text)
    holds(target.text == text, "a target knows what was written")
    holds(target.authorityColumn >= 1 && target.pathColumn >= 1, "columns count from 1")
    _ = target.description
    _ = target.endpoint
    _ = try? target.endpointHostPort()
    _ = try? target.authorityHostPort()
    for parameter in target.parameters {
      holds(target[all: parameter.name].contains(parameter.value), "a parameter is found")
    }
    _ = try? ConsulTarget(target, agent: ConsulAgent("127.0.0.1:8500"))
  } catch {
    _ = "\(error)"
  }
  _ = IPLiteral.isV4(text)
  _ = IPLiteral.isV6(text)
  if let address = try? HostPort(parsing: text) {
    let shown = "\(address)"
    let again = try? HostPort(parsing: shown)
    holds(again == address, "what a host and port print as is what they are")
  }
}

/// Any bytes are a config or an error with a path.
@Sendable func fuzzServiceConfig(_ input: [UInt8]) {
  do throws(ServiceConfigError) {
    let config = try ServiceConfig(json: input)
    _ = config.method("/a.B/C")
    _ = config.method("/")
    _ = config.method("")
  } catch {
    holds(!"\(error)".isEmpty, "an error says something")
  }
}

/// Any bytes are an answer or an error; looking for addresses ends.
@Sendable func fuzzDNS(_ input: [UInt8]) {
  do throws(DNSMessage.Failure) {
    let message = try DNSMessage(parsing: input)
    holds(message.answers.count <= DNSMessage.recordLimit, "records are limited")
    for address in message.addresses {
      holds(address.count == 4 || address.count == 16, "an address has 4 or 16 bytes")
    }
    _ = message.texts
    _ = message.timeToLive
    for service in message.services {
      let host = DNSMessage.hostName(service.target)
      holds((host?.utf8.count ?? 0) <= 253, "a host name has at most 253 bytes")
    }
    for record in message.answers { holds(record.owner.count <= 255, "names end at 255 bytes") }
  } catch {
    holds(error.offset <= input.count, "an error is within the message")
  }
}

/// Any bytes are a load report or none; what was read is read again from what is written.
@Sendable func fuzzLoadReport(_ input: [UInt8]) {
  guard let report = LoadReport(protobuf: input) else { return }
  _ = report.problem
  holds(
    report.utilization.count + report.requestCost.count + report.namedMetrics.count
      <= LoadReport.maxEntries, "entries are limited")
  // Compared as bytes: NaN is not equal to itself.
  holds(
    LoadReport(protobuf: report.protobuf)?.protobuf == report.protobuf,
    "a report that is written is read")
}
