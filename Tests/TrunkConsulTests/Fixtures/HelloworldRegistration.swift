// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The article's registration, captured from consul 1.8.7: `/v1/agent/service/ID` and
/// `/v1/agent/checks`, without what the agent adds by itself (hashes, indexes, node), and without
/// status and output, which are of the moment.
enum HelloworldRegistration {
  static let json = """
    {
      "service": {
        "ID": "helloworld-127.0.0.1-50051",
        "Service": "helloworld",
        "Tags": ["helloworld"],
        "Meta": {},
        "Port": 50051,
        "Address": "127.0.0.1",
        "Weights": {"Passing": 1, "Warning": 1},
        "EnableTagOverride": false
      },
      "check": {
        "CheckID": "service:helloworld-127.0.0.1-50051",
        "Name": "Service 'helloworld' check",
        "ServiceID": "helloworld-127.0.0.1-50051",
        "ServiceName": "helloworld",
        "ServiceTags": ["helloworld"],
        "Type": "grpc"
      }
    }
    """
  /// What was sent for it, keys in alphabetical order.
  static let request =
    #"{"Address":"127.0.0.1","Check":{"DeregisterCriticalServiceAfter":"1m","#
    + #""GRPC":"127.0.0.1:50051/helloworld","Interval":"10s","Status":"passing","Timeout":"3s"},"#
    + #""ID":"helloworld-127.0.0.1-50051","Name":"helloworld","Port":50051,"#
    + #""Tags":["helloworld"]}"#
}
