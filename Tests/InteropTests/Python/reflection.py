# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The Trunkcall Authors
"""grpcio's reflection client against our server.

  reflection.py describe PROTOS ADDRESS SET...

Each SET is a FileDescriptorSet that protoc wrote. Every service that the server lists is looked up
by name, and each of its files compared with the one in the sets. Then ADDRESS is called: Greeter by
messages made from the descriptors alone. Prints one line of JSON for each case.
"""
import json
import sys
import traceback

import grpc
from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase)


def equal(got, want):
    assert got == want, f"got {got!r}, want {want!r}"


def main(address, sets):
    known = {}
    for path in sets:
        with open(path, "rb") as file:
            for proto in descriptor_pb2.FileDescriptorSet.FromString(file.read()).file:
                known[proto.name] = proto
    channel = grpc.insecure_channel(address)
    database = ProtoReflectionDescriptorDatabase(channel)
    pool = DescriptorPool(database)

    def listed():
        services = {f"{p.package}.{s.name}".lstrip(".") for p in known.values() for s in p.service}
        equal(list(database.get_services()), sorted(services))

    def described():
        count = 0
        for name in database.get_services():
            service = pool.FindServiceByName(name)
            wanted = known[service.file.name]
            (definition,) = [s for s in wanted.service if s.name == service.name]
            equal([m.name for m in service.methods], [m.name for m in definition.method])
            for method in service.methods:
                equal(pool.FindMethodByName(method.full_name).full_name, method.full_name)
                pool.FindMessageTypeByName(method.input_type.full_name)
                count += 1
        assert count > 40, count

    def same_bytes():
        """Each file, and each of its imports, as protoc writes it."""
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        for name, proto in known.items():
            request = reflection_pb2.ServerReflectionRequest(file_by_filename=name)
            (reply,) = stub.ServerReflectionInfo(iter([request]))
            equal(reply.original_request, request)
            files = reply.file_descriptor_response.file_descriptor_proto
            assert files, reply
            for data in files:
                got = descriptor_pb2.FileDescriptorProto.FromString(data)
                want = known[got.name]
                assert not got.HasField("source_code_info")
                want.ClearField("source_code_info")
                equal(data, want.SerializeToString(deterministic=True))

    def unknown():
        for look_up in (pool.FindMessageTypeByName, pool.FindFileByName, pool.FindServiceByName,
                        pool.FindFileContainingSymbol):
            try:
                look_up("no.such.Thing")
            except KeyError:
                continue
            raise AssertionError(look_up)

    def extensions():
        try:
            equal(database.FindAllExtensionNumbers("helloworld.HelloRequest"), [])
            database.FindAllExtensionNumbers("no.such.Thing")
        except KeyError:
            return
        raise AssertionError("found")

    def one_stream():
        """Every kind of request on one stream, an error in the middle of it."""
        R = reflection_pb2.ServerReflectionRequest
        requests = [
            R(list_services=""), R(file_containing_symbol="helloworld.Greeter.SayHello"),
            R(file_containing_symbol="nothing"), R(file_by_filename="helloworld.proto"),
            R(all_extension_numbers_of_type="helloworld.HelloReply"),
            R(file_containing_extension=reflection_pb2.ExtensionRequest(
                containing_type="helloworld.HelloReply", extension_number=5)),
        ]
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        replies = list(stub.ServerReflectionInfo(iter(requests), timeout=10))
        equal([r.original_request for r in replies], requests)
        equal([r.WhichOneof("message_response") for r in replies], [
            "list_services_response", "file_descriptor_response", "error_response",
            "file_descriptor_response", "all_extension_numbers_response", "error_response"])
        equal([r.error_response.error_code for r in replies], [0, 0, 5, 0, 0, 5])

    def call():
        method = pool.FindMethodByName("helloworld.Greeter.SayHello")
        request = message_factory.GetMessageClass(method.input_type)(name="reflection")
        reply = channel.unary_unary(
            "/helloworld.Greeter/SayHello",
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
        )(request, timeout=5)
        equal(reply.message, "Hello reflection")

    for case in (listed, described, same_bytes, unknown, extensions, one_stream, call):
        try:
            case()
            print(json.dumps({"case": case.__name__, "ok": True, "why": ""}), flush=True)
        except Exception:  # noqa: BLE001
            print(json.dumps({"case": case.__name__, "ok": False, "why": traceback.format_exc()}),
                  flush=True)


main(sys.argv[3], sys.argv[4:])
