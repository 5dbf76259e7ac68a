// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkSockets

// The same three cases on either side of the arrow: discovery knows no sockets, and sockets know no
// discovery.
extension Address {
  init(_ destination: Destination) {
    switch destination {
    case .host(let host, let port): self = .host(host, port)
    case .unix(let path): self = .unix(path)
    case .unixAbstract(let name): self = .unixAbstract(name)
    }
  }

  var destination: Destination {
    switch self {
    case .host(let host, let port): .host(host, port)
    case .unix(let path): .unix(path)
    case .unixAbstract(let name): .unixAbstract(name)
    }
  }
}
