// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// `xds.data.orca.v3.OrcaLoadReport` on the wire (cncf/xds, orca_load_report.proto). Field 3, the
/// deprecated whole number `rps`, is neither read nor written, as in grpc-go.
extension LoadReport {
  /// - Parameter protobuf: a peer's bytes. nil if they are no report, or over a limit.
  package init?(protobuf: [UInt8]) {
    guard protobuf.count <= LoadReport.maxSize else { return nil }
    self.init()
    var reader = ProtobufReader(protobuf[...])
    var entries = 0
    while let (number, value) = reader.next() {
      switch (number, value) {
      case (1, .fixed64(let bits)): cpuUtilization = Double(bitPattern: bits)
      case (2, .fixed64(let bits)): memoryUtilization = Double(bitPattern: bits)
      case (6, .fixed64(let bits)): requestsPerSecond = Double(bitPattern: bits)
      case (7, .fixed64(let bits)): errorsPerSecond = Double(bitPattern: bits)
      case (9, .fixed64(let bits)): applicationUtilization = Double(bitPattern: bits)
      case (4, .bytes(let bytes)), (5, .bytes(let bytes)), (8, .bytes(let bytes)):
        entries += 1
        guard entries <= LoadReport.maxEntries, let (key, value) = LoadReport.entry(bytes) else {
          return nil
        }
        switch number {
        case 4: requestCost[key] = value
        case 5: utilization[key] = value
        default: namedMetrics[key] = value
        }
      default: break
      }
    }
    if reader.isMalformed { return nil }
  }

  package var protobuf: [UInt8] {
    var writer = ProtobufWriter()
    writer.write(1, double: cpuUtilization)
    writer.write(2, double: memoryUtilization)
    LoadReport.write(requestCost, 4, &writer)
    LoadReport.write(utilization, 5, &writer)
    writer.write(6, double: requestsPerSecond)
    writer.write(7, double: errorsPerSecond)
    LoadReport.write(namedMetrics, 8, &writer)
    writer.write(9, double: applicationUtilization)
    return writer.bytes
  }

  /// As trailing metadata; empty for an empty report.
  package var metadata: Metadata {
    var metadata = Metadata()
    let bytes = protobuf
    if !bytes.isEmpty { metadata.add(binary: bytes, for: LoadReport.metadataName) }
    return metadata
  }

  /// A `map<string, double>` is a repeated message of a key, 1, and a value, 2.
  private static func entry(_ bytes: ArraySlice<UInt8>) -> (String, Double)? {
    var key = ""
    var number = 0.0
    var reader = ProtobufReader(bytes)
    while let field = reader.next() {
      switch field {
      case (1, .bytes(let text)):
        guard let text = String(validating: text, as: UTF8.self) else { return nil }
        key = text
      case (2, .fixed64(let bits)): number = Double(bitPattern: bits)
      default: break
      }
    }
    return reader.isMalformed ? nil : (key, number)
  }

  private static func write(
    _ entries: [String: Double], _ number: Int, _ writer: inout ProtobufWriter
  ) {
    guard !entries.isEmpty else { return }
    for (key, value) in entries.sorted(by: { $0.key < $1.key }) {
      var entry = ProtobufWriter()
      entry.write(1, string: key)
      entry.write(2, double: value)
      writer.write(number, message: entry.bytes)
    }
  }
}
