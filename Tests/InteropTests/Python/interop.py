# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The Trunkcall Authors
"""gRPC's interop tests (doc/interop-test-descriptions.md) on grpcio, as client or server.

  interop.py server PROTOS          prints `listening PORT LIMITED`, serves; on the port LIMITED
                                    requests of more than 10,000 bytes are refused
  interop.py client PROTOS ADDRESS  runs every case, prints one line of JSON for each
  interop.py weights PROTOS ADDRESSES CONFIG
                                    calls through C-core's weighted_round_robin until two servers'
                                    shares of 80 calls are 60 and 20; prints `shares A B`

With INTEROP_TLS=FOLDER in the environment (see Scripts/certs) both speak mutual TLS.

What grpcio has no way to do, and what is done instead, stands in docs/conformance-interop.md.
"""
import json
import os
import sys
import tempfile
import threading
import time
from concurrent import futures

import grpc
import grpc_tools
from grpc_tools import protoc

INITIAL = "x-grpc-test-echo-initial"
TRAILING = "x-grpc-test-echo-trailing-bin"
REQUEST_SIZES = [27182, 8, 1828, 45904]
RESPONSE_SIZES = [31415, 9, 2653, 58979]
# A receive limit that tells apart what came compressed: what is too large only after decompression
# fails with another text than what was too large as it came.
SMALL = 10000
TOO_LARGE = {True: "Decompressed message larger", False: "Received message larger"}


TLS = os.environ.get("INTEROP_TLS")


def pem(name):
    with open(os.path.join(TLS, name), "rb") as file:
        return file.read()


def add_port(server):
    if not TLS:
        return server.add_insecure_port("127.0.0.1:0")
    return server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials(
        [(pem("server.key"), pem("server.pem"))], pem("ca.pem"), require_client_auth=True))


def make_channel(address, options=None):
    if not TLS:
        return grpc.insecure_channel(address, options)
    credentials = grpc.ssl_channel_credentials(pem("ca.pem"), pem("client.key"), pem("client.pem"))
    name = [("grpc.ssl_target_name_override", "foo.test.google.fr")]
    return grpc.secure_channel(address, credentials, list(options or []) + name)


def stubs(protos):
    out = tempfile.mkdtemp()
    args = ["protoc", f"-I{protos}", f"--python_out={out}", f"--grpc_python_out={out}"]
    names = ["empty", "messages", "test"]
    if protoc.main(args + [f"grpc/testing/{name}.proto" for name in names]) != 0:
        sys.exit("protoc failed")
    # grpcio's own package is called `grpc` as well: let it see the generated modules.
    grpc.__path__.append(os.path.join(out, "grpc"))
    from grpc.testing import empty_pb2, messages_pb2, test_pb2_grpc
    return empty_pb2, messages_pb2, test_pb2_grpc


def orca_stubs(protos):
    out = tempfile.mkdtemp()
    well_known = os.path.join(os.path.dirname(grpc_tools.__file__), "_proto")
    args = ["protoc", f"-I{protos}", f"-I{well_known}", f"--python_out={out}",
            f"--grpc_python_out={out}"]
    names = ["xds/data/orca/v3/orca_load_report.proto", "xds/service/orca/v3/orca.proto"]
    if protoc.main(args + names) != 0:
        sys.exit("protoc failed")
    sys.path.append(out)
    from xds.data.orca.v3 import orca_load_report_pb2
    from xds.service.orca.v3 import orca_pb2_grpc
    return orca_load_report_pb2, orca_pb2_grpc


def serve(protos):
    empty, messages, grpc_stubs = stubs(protos)
    orca, orca_grpc = orca_stubs(protos)
    load = [orca.OrcaLoadReport()]
    controls_load = threading.Lock()

    def load_report(report):
        return orca.OrcaLoadReport(
            cpu_utilization=report.cpu_utilization, mem_utilization=report.memory_utilization,
            request_cost=report.request_cost, utilization=report.utilization)

    class LoadReports(orca_grpc.OpenRcaServiceServicer):
        def StreamCoreMetrics(self, request, context):
            interval = max(1, request.report_interval.ToTimedelta().total_seconds())
            while context.is_active():
                yield load[0]
                end = time.monotonic() + interval
                while context.is_active() and time.monotonic() < end:
                    time.sleep(0.05)

    def echo_metadata(context):
        initial = [(k, v) for k, v in context.invocation_metadata() if k == INITIAL]
        trailing = [(k, v) for k, v in context.invocation_metadata() if k == TRAILING]
        if initial:
            context.send_initial_metadata(initial)
        if trailing:
            context.set_trailing_metadata(trailing)

    def end(context, request):
        if request.HasField("response_status") and request.response_status.code:
            codes = {code.value[0]: code for code in grpc.StatusCode}
            context.abort(codes[request.response_status.code], request.response_status.message)

    def replies(request, context):
        end(context, request)
        for parameters in request.response_parameters:
            if parameters.interval_us:
                time.sleep(parameters.interval_us / 1e6)
            if not parameters.compressed.value:
                context.disable_next_message_compression()
            yield messages.StreamingOutputCallResponse(
                payload=messages.Payload(body=bytes(parameters.size)),
                peer_socket_address=(context.peer() if parameters.fill_peer_socket_address.value
                                     else ""))

    class Service(grpc_stubs.TestServiceServicer):
        def EmptyCall(self, request, context):
            echo_metadata(context)
            return empty.Empty()

        def UnaryCall(self, request, context):
            if request.response_compressed.value:
                context.set_compression(grpc.Compression.Gzip)
            echo_metadata(context)
            if request.HasField("orca_per_query_report"):
                report = load_report(request.orca_per_query_report).SerializeToString()
                context.set_trailing_metadata([("endpoint-load-metrics-bin", report)])
            end(context, request)
            return messages.SimpleResponse(
                payload=messages.Payload(body=bytes(request.response_size)),
                server_id="grpcio" if request.fill_server_id else "")

        def StreamingOutputCall(self, request, context):
            context.set_compression(grpc.Compression.Gzip)
            echo_metadata(context)
            yield from replies(request, context)

        def StreamingInputCall(self, requests, context):
            echo_metadata(context)
            return messages.StreamingInputCallResponse(
                aggregated_payload_size=sum(len(request.payload.body) for request in requests))

        def FullDuplexCall(self, requests, context):
            echo_metadata(context)
            controls = False
            try:
                for request in requests:
                    if request.HasField("orca_oob_report"):
                        controls = controls or controls_load.acquire()
                        load[0] = load_report(request.orca_oob_report)
                    yield from replies(request, context)
            finally:
                if controls:
                    controls_load.release()

        def HalfDuplexCall(self, requests, context):
            echo_metadata(context)
            for request in list(requests):
                yield from replies(request, context)

    ports, servers = [], []
    for options in [[], [("grpc.max_receive_message_length", SMALL)],
                    [("grpc.max_concurrent_streams", 2)]]:
        server = grpc.server(futures.ThreadPoolExecutor(max_workers=16), options=options)
        grpc_stubs.add_TestServiceServicer_to_server(Service(), server)
        orca_grpc.add_OpenRcaServiceServicer_to_server(LoadReports(), server)
        ports.append(add_port(server))
        server.start()
        servers.append(server)
    print("listening", *ports, flush=True)
    servers[0].wait_for_termination()


def client(protos, address):
    empty, messages, grpc_stubs = stubs(protos)
    channel = make_channel(address)
    stub = grpc_stubs.TestServiceStub(channel)
    # No case may hang, whatever the server does.
    limit = 60

    def payload(size):
        return messages.Payload(body=bytes(size))

    def flag(value):
        return messages.BoolValue(value=value)

    def large(**fields):
        return messages.SimpleRequest(response_size=314159, payload=payload(271828), **fields)

    def output(size, request_size):
        return messages.StreamingOutputCallRequest(
            response_parameters=[messages.ResponseParameters(size=size)],
            payload=payload(request_size))

    def equal(got, expected):
        assert got == expected, f"{got!r:.200} instead of {expected!r:.200}"

    def fails(code, body, details=None):
        try:
            body()
        except grpc.RpcError as error:
            equal(error.code(), code)
            if details is not None:
                equal(error.details(), details)
            return
        raise AssertionError(f"OK instead of {code}")

    def large_response(response):
        equal(response.payload.body, bytes(314159))

    def empty_unary():
        equal(stub.EmptyCall(empty.Empty(), timeout=limit), empty.Empty())

    def large_unary():
        large_response(stub.UnaryCall(large(), timeout=limit))

    def client_compressed_unary():
        fails(grpc.StatusCode.INVALID_ARGUMENT,
              lambda: stub.UnaryCall(large(expect_compressed=flag(True)), timeout=limit))
        for compression in [grpc.Compression.Gzip, grpc.Compression.Deflate]:
            large_response(stub.UnaryCall(large(expect_compressed=flag(True)), timeout=limit,
                                          compression=compression))
        large_response(stub.UnaryCall(large(expect_compressed=flag(False)), timeout=limit))

    def limited(size):
        return make_channel(address, [("grpc.max_receive_message_length", size)])

    def too_large(compressed, body):
        try:
            body()
        except grpc.RpcError as error:
            equal(error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
            assert TOO_LARGE[compressed] in error.details(), error.details()
            return
        raise AssertionError("OK over the limit")

    def server_compressed_unary():
        for wanted in [True, False]:
            request = large(response_compressed=flag(wanted))
            large_response(stub.UnaryCall(request, timeout=limit))
            # The flag itself cannot be seen.
            with limited(SMALL) as small:
                small_stub = grpc_stubs.TestServiceStub(small)
                too_large(wanted, lambda: small_stub.UnaryCall(request, timeout=limit))
        # A client that accepts nothing must not be sent anything compressed: it would fail.
        options = [("grpc.compression_enabled_algorithms_bitset", 1)]
        with make_channel(address, options) as deaf:
            large_response(grpc_stubs.TestServiceStub(deaf).UnaryCall(
                large(response_compressed=flag(True)), timeout=limit))

    def client_streaming():
        requests = (messages.StreamingInputCallRequest(payload=payload(size))
                    for size in REQUEST_SIZES)
        equal(stub.StreamingInputCall(requests, timeout=limit).aggregated_payload_size, 74922)

    def client_compressed_streaming():
        def request(body, expected):
            return messages.StreamingInputCallRequest(
                payload=messages.Payload(body=body), expect_compressed=flag(expected))
        fails(grpc.StatusCode.INVALID_ARGUMENT, lambda: stub.StreamingInputCall(
            iter([request(bytes(27182), True)]), timeout=limit))
        # There is no switch for one message, but what does not shrink is sent as it is.
        requests = [request(bytes(27182), True), request(os.urandom(45904), False)]
        equal(stub.StreamingInputCall(iter(requests), timeout=limit,
                                      compression=grpc.Compression.Gzip)
              .aggregated_payload_size, 73086)

    def sizes(replies, expected):
        got = [reply.payload.body for reply in replies]
        equal([len(body) for body in got], expected)
        assert not any(any(body) for body in got), "not made of zeros"

    def server_streaming():
        sizes(stub.StreamingOutputCall(messages.StreamingOutputCallRequest(
            response_parameters=[messages.ResponseParameters(size=size)
                                 for size in RESPONSE_SIZES]), timeout=limit), RESPONSE_SIZES)

    def server_compressed_streaming():
        request = messages.StreamingOutputCallRequest(response_parameters=[
            messages.ResponseParameters(size=31415, compressed=flag(True)),
            messages.ResponseParameters(size=92653, compressed=flag(False))])
        sizes(stub.StreamingOutputCall(request, timeout=limit), [31415, 92653])
        # The first limit stops the first reply, the second one the second.
        for size, compressed in [(SMALL, True), (50000, False)]:
            with limited(size) as small:
                small_stub = grpc_stubs.TestServiceStub(small)
                too_large(compressed,
                          lambda: list(small_stub.StreamingOutputCall(request, timeout=limit)))

    class Requests:
        """An iterator that gives what it is told to, one by one."""

        def __init__(self):
            import queue
            self.queue = queue.Queue()

        def send(self, request):
            self.queue.put(request)

        def finish(self):
            self.queue.put(None)

        def __iter__(self):
            return self

        def __next__(self):
            request = self.queue.get()
            if request is None:
                raise StopIteration
            return request

    def ping_pong():
        requests = Requests()
        replies = stub.FullDuplexCall(requests, timeout=limit)
        for request_size, response_size in zip(REQUEST_SIZES, RESPONSE_SIZES):
            requests.send(output(response_size, request_size))
            equal(next(replies).payload.body, bytes(response_size))
        requests.finish()
        sizes(replies, [])
        equal(replies.code(), grpc.StatusCode.OK)

    def empty_stream():
        replies = stub.FullDuplexCall(iter([]), timeout=limit)
        sizes(replies, [])
        equal(replies.code(), grpc.StatusCode.OK)

    def custom_metadata():
        metadata = [(INITIAL, "test_initial_metadata_value"), (TRAILING, b"\xab\xab\xab")]

        def compare(call):
            equal([v for k, v in call.initial_metadata() if k == INITIAL],
                  ["test_initial_metadata_value"])
            equal([v for k, v in call.trailing_metadata() if k == TRAILING], [b"\xab\xab\xab"])
        response, call = stub.UnaryCall.with_call(large(), metadata=metadata, timeout=limit)
        large_response(response)
        compare(call)
        replies = stub.FullDuplexCall(iter([output(314159, 271828)]), metadata=metadata,
                                      timeout=limit)
        sizes(replies, [314159])
        compare(replies)

    def echo_status(code, message, over_stream):
        status = messages.EchoStatus(code=code.value[0], message=message)
        fails(code, lambda: stub.UnaryCall(
            messages.SimpleRequest(response_status=status), timeout=limit), message)
        if over_stream:
            request = messages.StreamingOutputCallRequest(response_status=status)
            fails(code, lambda: list(stub.FullDuplexCall(iter([request]), timeout=limit)), message)

    def status_code_and_message():
        echo_status(grpc.StatusCode.UNKNOWN, "test status message", True)

    def special_status_message():
        echo_status(grpc.StatusCode.UNKNOWN,
                    "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n", False)

    def unimplemented_method():
        fails(grpc.StatusCode.UNIMPLEMENTED,
              lambda: stub.UnimplementedCall(empty.Empty(), timeout=limit))

    def unimplemented_service():
        other = grpc_stubs.UnimplementedServiceStub(channel)
        fails(grpc.StatusCode.UNIMPLEMENTED,
              lambda: other.UnimplementedCall(empty.Empty(), timeout=limit))

    def cancel_after_begin():
        requests = Requests()
        call = stub.StreamingInputCall.future(requests, timeout=limit)
        call.cancel()
        assert call.cancelled(), "not cancelled"
        equal(call.code(), grpc.StatusCode.CANCELLED)
        requests.finish()

    def cancel_after_first_response():
        requests = Requests()
        replies = stub.FullDuplexCall(requests, timeout=limit)
        requests.send(output(31415, 27182))
        equal(next(replies).payload.body, bytes(31415))
        replies.cancel()
        fails(grpc.StatusCode.CANCELLED, lambda: next(replies))
        requests.finish()

    def timeout_on_sleeping_server():
        requests = Requests()
        requests.send(messages.StreamingOutputCallRequest(payload=payload(27182)))
        fails(grpc.StatusCode.DEADLINE_EXCEEDED,
              lambda: next(stub.FullDuplexCall(requests, timeout=0.001)))
        requests.finish()

    def pick_first_unary():
        ids = {stub.UnaryCall(messages.SimpleRequest(
            response_size=1, payload=payload(1), fill_server_id=True), timeout=limit).server_id
            for _ in range(100)}
        assert len(ids) == 1 and "" not in ids, ids

    def soak(connect):
        for _ in range(20):
            with connect() as one:
                start = time.monotonic()
                large_response(grpc_stubs.TestServiceStub(one).UnaryCall(large(), timeout=limit))
                assert time.monotonic() - start < 30, "too slow"

    def rpc_soak():
        for _ in range(20):
            large_unary()

    def channel_soak():
        # A subchannel pool of its own, or all the channels would share one connection.
        options = [("grpc.use_local_subchannel_pool", 1)]
        soak(lambda: make_channel(address, options))

    def concurrent_large_unary():
        calls = [stub.UnaryCall.future(large(), timeout=limit) for _ in range(1000)]
        for call in calls:
            large_response(call.result())

    cases = [
        empty_unary, large_unary, client_compressed_unary, server_compressed_unary,
        client_streaming, client_compressed_streaming, server_streaming,
        server_compressed_streaming, ping_pong, empty_stream, custom_metadata,
        status_code_and_message, special_status_message, unimplemented_method,
        unimplemented_service, cancel_after_begin, cancel_after_first_response,
        timeout_on_sleeping_server, pick_first_unary, rpc_soak, channel_soak,
        concurrent_large_unary]
    for case in cases:
        try:
            case()
            result = {"case": case.__name__, "ok": True, "why": ""}
        except BaseException as error:  # each case is reported, whatever it threw
            result = {"case": case.__name__, "ok": False,
                      "why": f"{type(error).__name__}: {error}"}
        print(json.dumps(result), flush=True)


def weights(protos, addresses, config):
    _, messages, grpc_stubs = stubs(protos)
    options = [("grpc.service_config", config)]
    with grpc.insecure_channel(f"ipv4:{addresses}", options) as channel:
        stub = grpc_stubs.TestServiceStub(channel)
        request = messages.SimpleRequest(fill_server_id=True)
        for _ in range(200):
            counts = {}
            for _ in range(80):
                name = stub.UnaryCall(request, timeout=60, wait_for_ready=True).server_id
                counts[name] = counts.get(name, 0) + 1
            if 58 <= counts.get("A", 0) <= 62:
                break
            time.sleep(0.05)
        print("shares", counts.get("A", 0), counts.get("B", 0), flush=True)


if sys.argv[1] == "server":
    serve(sys.argv[2])
elif sys.argv[1] == "weights":
    weights(*sys.argv[2:])
else:
    client(sys.argv[2], sys.argv[3])
