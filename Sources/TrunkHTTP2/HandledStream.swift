// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The events of ``HTTP2Stream``, for owners that are no streams themselves.
package protocol HTTP2StreamHandler: AnyObject {
  func header(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer)
  func headersEnded(_ kind: HeaderBlockKind, endStream: Bool, tooLarge: Bool)
  func data(_ bytes: UnsafeRawBufferPointer)
  func ended()
  func writable()
  func addTrailers(_ headers: inout HeaderList)
  func closed(_ reason: StreamCloseReason)
}

/// A stream that forwards its events. It releases its handler at its end.
package final class HandledStream: HTTP2Stream {
  package var handler: (any HTTP2StreamHandler)?

  package override func header(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
    handler?.header(name, value)
  }
  package override func headersEnded(_ kind: HeaderBlockKind, endStream: Bool, tooLarge: Bool) {
    handler?.headersEnded(kind, endStream: endStream, tooLarge: tooLarge)
  }
  package override func data(_ bytes: UnsafeRawBufferPointer) {
    if let handler { handler.data(bytes) } else { consume(bytes.count) }
  }
  package override func ended() { handler?.ended() }
  package override func writable() { handler?.writable() }
  package override func addTrailers(_ headers: inout HeaderList) { handler?.addTrailers(&headers) }
  package override func closed(_ reason: StreamCloseReason) {
    let handler = handler
    self.handler = nil
    handler?.closed(reason)
  }
}
