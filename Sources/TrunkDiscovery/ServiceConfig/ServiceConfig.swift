// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors

/// The settings that a service's owner publishes for its clients: the JSON of gRPC's service config
/// (`service_config.proto`, gRFC A2, A6, A21, A24, A105).
///
/// Unknown fields are ignored; one bad known field rejects the whole config. The objects of policies in
/// `loadBalancingConfig` are checked by the channel that gets the config, since it knows the policies.
public struct ServiceConfig: Sendable, Hashable {
  /// `loadBalancingConfig`, in order of preference; nil if absent. The channel takes the first that
  /// it knows.
  public var balancers: [BalancerChoice]?
  /// `loadBalancingPolicy`, the older field for one policy.
  public var balancer: String?
  /// `retryThrottling`, for all calls of the channel.
  public var retryThrottling: RetryThrottling?
  /// `healthCheckConfig.serviceName` (gRFC A17).
  public var healthCheckService: String?
  /// `connectionScaling.maxConnectionsPerSubchannel` (gRFC A105): how many connections a server gets
  /// when calls wait because each one has as many streams as the server allows. At least 1; nil: 1.
  /// `ChannelOptions.maxConnectionsPerSubchannel` caps it.
  public var maxConnectionsPerSubchannel: Int?
  private var methods: [String: MethodConfig] = [:]

  /// The empty config: gRPC's defaults for everything.
  public init() {}

  /// - Throws: ``ServiceConfigError``, naming the path of the first bad field.
  public init(json: String) throws(ServiceConfigError) { try self.init(json: Array(json.utf8)) }

  /// - Parameter json: UTF-8, at most 1 MiB.
  /// - Throws: ``ServiceConfigError``, naming the path of the first bad field.
  public init(json: [UInt8]) throws(ServiceConfigError) {
    let fields = try JSONReader(JSONValue(parsing: json), path: "")
    if let list = fields.value("loadBalancingConfig") {
      balancers = try BalancerChoice.list(list, path: "loadBalancingConfig")
    }
    balancer = try fields.string("loadBalancingPolicy").map { $0.lowercased() }
    retryThrottling = try fields.object("retryThrottling").map(RetryThrottling.init)
    healthCheckService = try fields.object("healthCheckConfig")?.string("serviceName")
    maxConnectionsPerSubchannel = try fields.object("connectionScaling")?
      .integer("maxConnectionsPerSubchannel", in: 1...Int(UInt32.max))
    for method in try fields.objects("methodConfig") ?? [] { try add(method) }
  }

  /// The settings for a call (service_config.md): service and method, else the service, else
  /// the default.
  /// - Parameter path: `/package.Service/Method`.
  public func method(_ path: String) -> MethodConfig? {
    if methods.isEmpty { return nil }
    if let exact = methods[path] { return exact }
    if let slash = path.lastIndex(of: "/"), let service = methods[String(path[...slash])] {
      return service
    }
    return methods[""]
  }

  /// Sets what holds for a method's calls, or for all methods of a service that have no config of
  /// their own, or for all services that have none.
  ///
  /// ```swift
  /// var config = ServiceConfig()
  /// try config.set(MethodConfig(timeout: .seconds(1)), service: "shop.Orders")
  /// ```
  /// - Parameters:
  ///   - config: nil takes it away.
  ///   - service: `package.Service`; nil for all of them.
  ///   - method: nil for all of them.
  /// - Throws: ``ServiceConfigError`` for a config that the JSON form would not allow, or a method
  ///   without a service.
  public mutating func set(
    _ config: MethodConfig?, service: String? = nil, method: String? = nil
  ) throws(ServiceConfigError) {
    let key = try ServiceConfig.key(service ?? "", method ?? "", path: "methodConfig.name")
    try config?.check("methodConfig")
    methods[key] = config
  }

  /// By path: `/package.Service/Method`, `/package.Service/`, or empty for the default.
  var allMethods: [(path: String, config: MethodConfig)] {
    methods.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  private static func key(
    _ service: String, _ method: String, path: String
  ) throws(ServiceConfigError) -> String {
    guard !service.isEmpty || method.isEmpty else {
      throw ServiceConfigError(
        path: "\(path).service", "missing; a method without a service matches nothing")
    }
    return service.isEmpty ? "" : "/\(service)/\(method)"
  }

  private mutating func add(_ fields: JSONReader) throws(ServiceConfigError) {
    let config = try MethodConfig(fields)
    for name in try fields.objects("name") ?? [] {
      let service = try name.string("service") ?? ""
      let method = try name.string("method") ?? ""
      let key = try ServiceConfig.key(service, method, path: name.path)
      guard methods.updateValue(config, forKey: key) == nil else {
        throw ServiceConfigError(
          path: name.path, "the name is there twice: \(key.isEmpty ? "default" : key)")
      }
    }
  }
}
