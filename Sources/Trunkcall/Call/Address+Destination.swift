// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
internal import TrunkSockets

// Discovery does not import sockets, nor sockets discovery: the same three cases exist in both
// modules, and this is the conversion.
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
