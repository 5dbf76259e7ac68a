// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// Answers of agent 1.8.7 as recorded, without the fields `SNI` and `Name` of targets.
enum RecordedChain {
  /// A splitter of two subsets and two services, one with the weight 0; a resolver with failover.
  static let split = #"""
    {"Chain": {
      "ServiceName": "web", "Namespace": "default", "Datacenter": "dc1",
      "Protocol": "grpc", "StartNode": "splitter:web.default",
      "Nodes": {
        "resolver:other.default.dc1": {
          "Type": "resolver", "Name": "other.default.dc1",
          "Resolver": {"ConnectTimeout": "5s", "Default": true, "Target": "other.default.dc1"}
        },
        "resolver:v1.web.default.dc1": {
          "Type": "resolver", "Name": "v1.web.default.dc1",
          "Resolver": {"ConnectTimeout": "7s", "Target": "v1.web.default.dc1", "Failover": {"Targets": ["web-backup.default.dc1", "web-backup.default.dc2"]}}
        },
        "resolver:v2.web.default.dc1": {
          "Type": "resolver", "Name": "v2.web.default.dc1",
          "Resolver": {"ConnectTimeout": "7s", "Target": "v2.web.default.dc1", "Failover": {"Targets": ["v1.web.default.dc1"]}}
        },
        "resolver:zero.default.dc1": {
          "Type": "resolver", "Name": "zero.default.dc1",
          "Resolver": {"ConnectTimeout": "5s", "Default": true, "Target": "zero.default.dc1"}
        },
        "splitter:web.default": {
          "Type": "splitter", "Name": "web.default",
          "Splits": [
            {"Weight": 89.5, "NextNode": "resolver:v1.web.default.dc1"},
            {"Weight": 10.25, "NextNode": "resolver:v2.web.default.dc1"},
            {"Weight": 0.25, "NextNode": "resolver:other.default.dc1"},
            {"NextNode": "resolver:zero.default.dc1"}
          ]
        }
      },
      "Targets": {
        "other.default.dc1": {
          "ID": "other.default.dc1", "Service": "other", "Namespace": "default",
          "Datacenter": "dc1", "MeshGateway": {}, "Subset": {}
        },
        "v1.web.default.dc1": {
          "ID": "v1.web.default.dc1", "Service": "web", "ServiceSubset": "v1",
          "Namespace": "default", "Datacenter": "dc1", "MeshGateway": {},
          "Subset": {"Filter": "Service.Meta.version == v1"}
        },
        "v2.web.default.dc1": {
          "ID": "v2.web.default.dc1", "Service": "web", "ServiceSubset": "v2",
          "Namespace": "default", "Datacenter": "dc1", "MeshGateway": {},
          "Subset": {"Filter": "Service.Meta.version == v2", "OnlyPassing": true}
        },
        "web-backup.default.dc1": {
          "ID": "web-backup.default.dc1", "Service": "web-backup", "Namespace": "default",
          "Datacenter": "dc1", "MeshGateway": {}, "Subset": {}
        },
        "web-backup.default.dc2": {
          "ID": "web-backup.default.dc2", "Service": "web-backup", "Namespace": "default",
          "Datacenter": "dc2", "MeshGateway": {}, "Subset": {}
        },
        "zero.default.dc1": {
          "ID": "zero.default.dc1", "Service": "zero", "Namespace": "default", "Datacenter": "dc1",
          "MeshGateway": {}, "Subset": {}
        }
      }
    }}
    """#

  /// The same where one of the services is split itself: Consul multiplies and rounds.
  static let nested = #"""
    {"Chain": {
      "ServiceName": "web", "Namespace": "default", "Datacenter": "dc1",
      "Protocol": "grpc", "StartNode": "splitter:web.default",
      "Nodes": {
        "resolver:v1.web.default.dc1": {
          "Type": "resolver", "Name": "v1.web.default.dc1",
          "Resolver": {"ConnectTimeout": "7s", "Target": "v1.web.default.dc1", "Failover": {"Targets": ["web-backup.default.dc1", "web-backup.default.dc2"]}}
        },
        "resolver:v2.web.default.dc1": {
          "Type": "resolver", "Name": "v2.web.default.dc1",
          "Resolver": {"ConnectTimeout": "7s", "Target": "v2.web.default.dc1", "Failover": {"Targets": ["v1.web.default.dc1"]}}
        },
        "resolver:web-backup.default.dc1": {
          "Type": "resolver", "Name": "web-backup.default.dc1",
          "Resolver": {"ConnectTimeout": "5s", "Default": true, "Target": "web-backup.default.dc1"}
        },
        "resolver:zero.default.dc1": {
          "Type": "resolver", "Name": "zero.default.dc1",
          "Resolver": {"ConnectTimeout": "5s", "Default": true, "Target": "zero.default.dc1"}
        },
        "splitter:web.default": {
          "Type": "splitter", "Name": "web.default",
          "Splits": [
            {"Weight": 89.5, "NextNode": "resolver:v1.web.default.dc1"},
            {"Weight": 10.25, "NextNode": "resolver:v2.web.default.dc1"},
            {"Weight": 0.13, "NextNode": "resolver:zero.default.dc1"},
            {"Weight": 0.13, "NextNode": "resolver:web-backup.default.dc1"},
            {"NextNode": "resolver:zero.default.dc1"}
          ]
        }
      },
      "Targets": {
        "v1.web.default.dc1": {
          "ID": "v1.web.default.dc1", "Service": "web", "ServiceSubset": "v1",
          "Namespace": "default", "Datacenter": "dc1", "MeshGateway": {},
          "Subset": {"Filter": "Service.Meta.version == v1"}
        },
        "v2.web.default.dc1": {
          "ID": "v2.web.default.dc1", "Service": "web", "ServiceSubset": "v2",
          "Namespace": "default", "Datacenter": "dc1", "MeshGateway": {},
          "Subset": {"Filter": "Service.Meta.version == v2", "OnlyPassing": true}
        },
        "web-backup.default.dc1": {
          "ID": "web-backup.default.dc1", "Service": "web-backup", "Namespace": "default",
          "Datacenter": "dc1", "MeshGateway": {}, "Subset": {}
        },
        "web-backup.default.dc2": {
          "ID": "web-backup.default.dc2", "Service": "web-backup", "Namespace": "default",
          "Datacenter": "dc2", "MeshGateway": {}, "Subset": {}
        },
        "zero.default.dc1": {
          "ID": "zero.default.dc1", "Service": "zero", "Namespace": "default", "Datacenter": "dc1",
          "MeshGateway": {}, "Subset": {}
        }
      }
    }}
    """#

  /// A router with one route of its own.
  static let routed = #"""
    {"Chain": {
      "ServiceName": "web", "Namespace": "default", "Datacenter": "dc1",
      "Protocol": "grpc", "StartNode": "router:web.default",
      "Nodes": {
        "resolver:web-backup.default.dc1": {
          "Type": "resolver", "Name": "web-backup.default.dc1",
          "Resolver": {"ConnectTimeout": "5s", "Default": true, "Target": "web-backup.default.dc1"}
        },
        "resolver:web.default.dc1": {
          "Type": "resolver", "Name": "web.default.dc1",
          "Resolver": {"ConnectTimeout": "5s", "Default": true, "Target": "web.default.dc1"}
        },
        "resolver:zero.default.dc1": {
          "Type": "resolver", "Name": "zero.default.dc1",
          "Resolver": {"ConnectTimeout": "5s", "Default": true, "Target": "zero.default.dc1"}
        },
        "router:web.default": {
          "Type": "router", "Name": "web.default",
          "Routes": [
            {"Definition": {"Match": {"HTTP": {"PathPrefix": "/admin", "Header": [{"Name": "x", "Exact": "1"}]}},
              "Destination": {"RequestTimeout": "3s", "Service": "other"}},
              "NextNode": "splitter:other.default"},
            {"Definition": {"Match": {"HTTP": {"PathPrefix": "/"}},
              "Destination": {"Service": "web", "Namespace": "default"}},
              "NextNode": "resolver:web.default.dc1"}
          ]
        },
        "splitter:other.default": {
          "Type": "splitter", "Name": "other.default",
          "Splits": [
            {"Weight": 50, "NextNode": "resolver:zero.default.dc1"},
            {"Weight": 50, "NextNode": "resolver:web-backup.default.dc1"}
          ]
        }
      },
      "Targets": {
        "web-backup.default.dc1": {
          "ID": "web-backup.default.dc1", "Service": "web-backup", "Namespace": "default",
          "Datacenter": "dc1", "MeshGateway": {}, "Subset": {}
        },
        "web.default.dc1": {
          "ID": "web.default.dc1", "Service": "web", "Namespace": "default", "Datacenter": "dc1",
          "MeshGateway": {}, "Subset": {}
        },
        "zero.default.dc1": {
          "ID": "zero.default.dc1", "Service": "zero", "Namespace": "default", "Datacenter": "dc1",
          "MeshGateway": {}, "Subset": {}
        }
      }
    }}
    """#

  /// A router whose first route takes every call, with fields for proxies.
  static let catchAll = #"""
    {"Chain": {
      "ServiceName": "web", "Namespace": "default", "Datacenter": "dc1",
      "Protocol": "grpc", "StartNode": "router:web.default",
      "Nodes": {
        "resolver:web.default.dc1": {
          "Type": "resolver", "Name": "web.default.dc1",
          "Resolver": {"ConnectTimeout": "5s", "Default": true, "Target": "web.default.dc1"}
        },
        "router:web.default": {
          "Type": "router", "Name": "web.default",
          "Routes": [
            {"Definition": {"Destination": {"RequestTimeout": "2s", "NumRetries": 3}},
              "NextNode": "resolver:web.default.dc1"},
            {"Definition": {"Match": {"HTTP": {"PathPrefix": "/"}},
              "Destination": {"Service": "web", "Namespace": "default"}},
              "NextNode": "resolver:web.default.dc1"}
          ]
        }
      },
      "Targets": {
        "web.default.dc1": {
          "ID": "web.default.dc1", "Service": "web", "Namespace": "default", "Datacenter": "dc1",
          "MeshGateway": {}, "Subset": {}
        }
      }
    }}
    """#

  /// A service that does not exist.
  static let absent = #"""
    {"Chain": {
      "ServiceName": "none", "Namespace": "default", "Datacenter": "dc1",
      "Protocol": "tcp", "StartNode": "resolver:none.default.dc1",
      "Nodes": {
        "resolver:none.default.dc1": {
          "Type": "resolver", "Name": "none.default.dc1",
          "Resolver": {"ConnectTimeout": "5s", "Default": true, "Target": "none.default.dc1"}
        }
      },
      "Targets": {
        "none.default.dc1": {
          "ID": "none.default.dc1", "Service": "none", "Namespace": "default", "Datacenter": "dc1",
          "MeshGateway": {}, "Subset": {}
        }
      }
    }}
    """#
}
