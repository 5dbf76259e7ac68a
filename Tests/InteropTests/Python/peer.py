# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The Trunkcall Authors
"""The foreign side of the interop tests: grpcio as client or server of trunkcall.test.Echo.

  peer.py server PROTOS          prints `listening PORT`, serves; SIGTERM: calls under way finish
  peer.py client PROTOS ADDRESS  runs every case, prints one line of JSON for each
"""
import json
import signal
import sys
import tempfile
import threading
import time
from concurrent import futures

import grpc
from grpc_tools import protoc


def stubs(protos):
    out = tempfile.mkdtemp()
    args = ["protoc", f"-I{protos}", f"--python_out={out}", f"--grpc_python_out={out}",
            "trunkcall/echo.proto"]
    if protoc.main(args) != 0:
        sys.exit("protoc failed")
    sys.path.insert(0, out)
    from trunkcall import echo_pb2, echo_pb2_grpc
    return echo_pb2, echo_pb2_grpc


def make_servicer(pb, pb_grpc):
    class Echo(pb_grpc.EchoServicer):
        def metadata(self, context):
            got = context.invocation_metadata()
            context.send_initial_metadata(
                tuple((k, v) for k, v in got if k in ("x-echo-initial", "x-echo-initial-bin")))
            context.set_trailing_metadata(
                tuple((k, v) for k, v in got if k in ("x-echo-trailing", "x-echo-trailing-bin")))

        def act(self, request):
            if request.sleep_ms:
                time.sleep(request.sleep_ms / 1000)

        def finish(self, request, context):
            if request.status_code:
                code = [c for c in grpc.StatusCode if c.value[0] == request.status_code][0]
                context.abort(code, request.status_message)

        def reply(self, request, number=0):
            return pb.EchoReply(text=request.text, number=number, server="grpcio",
                                payload=request.payload + b"\0" * request.reply_padding)

        def Unary(self, request, context):
            self.metadata(context)
            self.act(request)
            self.finish(request, context)
            return self.reply(request)

        def Collect(self, requests, context):
            self.metadata(context)
            texts, payload = [], b""
            for request in requests:
                self.finish(request, context)
                texts.append(request.text)
                payload += request.payload
            return pb.EchoReply(text=" ".join(texts), payload=payload, number=len(texts))

        def Expand(self, request, context):
            self.metadata(context)
            for number in range(request.count):
                self.act(request)
                if not context.is_active():
                    return
                yield self.reply(request, number)
            self.finish(request, context)

        def Chat(self, requests, context):
            self.metadata(context)
            for request in requests:
                self.act(request)
                self.finish(request, context)
                for number in range(max(1, request.count)):
                    yield self.reply(request, number)
    return Echo()


def serve(protos):
    pb, pb_grpc = stubs(protos)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=32))
    pb_grpc.add_EchoServicer_to_server(make_servicer(pb, pb_grpc), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    signal.signal(signal.SIGTERM, lambda *_: server.stop(grace=10))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # the parent's thread blocks it
    print(f"listening {port}", flush=True)
    server.wait_for_termination()


def status(call):
    try:
        call()
    except grpc.RpcError as error:
        return error.code().name, error.details()
    return "OK", ""


def client(protos, address):
    pb, pb_grpc = stubs(protos)
    R = pb.EchoRequest
    channel = grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", 8 << 20)])
    echo = pb_grpc.EchoStub(channel)

    def equal(got, want):
        assert got == want, f"got {got!r}, want {want!r}"

    def unary():
        equal(echo.Unary(R(text="hi", payload=b"\0\1"), timeout=5).payload, b"\0\1")

    def empty_messages():
        equal(echo.Unary(R(), timeout=5).text, "")

    def collect():
        reply = echo.Collect(iter([R(text="a"), R(text="b", payload=b"x"), R(text="c")]), timeout=5)
        equal((reply.text, reply.number, reply.payload), ("a b c", 3, b"x"))

    def collect_nothing():
        equal(echo.Collect(iter([]), timeout=5).number, 0)

    def expand():
        equal([r.number for r in echo.Expand(R(count=100), timeout=5)], list(range(100)))

    def chat():
        turn = threading.Semaphore(1)

        def requests():
            for i in range(20):
                turn.acquire()
                yield R(text=str(i))
        seen = []
        for reply in echo.Chat(requests(), timeout=10):
            seen.append(reply.text)
            turn.release()
        equal(seen, [str(i) for i in range(20)])

    def metadata():
        sent = (("x-echo-initial", "a"), ("x-echo-initial", "b"), ("x-echo-initial-bin", b"\0\xff\1"),
                ("x-echo-trailing", "t"), ("x-echo-trailing-bin", bytes(range(256))))
        for call in (lambda: echo.Unary.with_call(R(), timeout=5, metadata=sent)[1],
                     lambda: drained(echo.Expand(R(count=1), timeout=5, metadata=sent))):
            done = call()
            initial = [(k, v) for k, v in done.initial_metadata() if k.startswith("x-echo")]
            trailing = [(k, v) for k, v in done.trailing_metadata() if k.startswith("x-echo")]
            equal(initial, list(sent[:3]))
            equal(trailing, list(sent[3:]))

    def drained(call):
        for _ in call:
            pass
        return call

    def statuses():
        for code in grpc.StatusCode:
            if code is grpc.StatusCode.OK:
                continue
            request = R(status_code=code.value[0], status_message="why not")
            equal(status(lambda: echo.Unary(request, timeout=5)), (code.name, "why not"))

    def status_text():
        text = "\t\nünï ☺ 😈 100%\r\n"
        request = R(status_code=2, status_message=text)
        equal(status(lambda: echo.Unary(request, timeout=5)), ("UNKNOWN", text))

    def status_after_messages():
        seen = []

        def run():
            for reply in echo.Expand(R(count=3, status_code=10, status_message="late"), timeout=5):
                seen.append(reply.number)
        equal(status(run), ("ABORTED", "late"))
        equal(seen, [0, 1, 2])

    def deadline():
        began = time.time()
        equal(status(lambda: echo.Unary(R(sleep_ms=5000), timeout=0.2))[0], "DEADLINE_EXCEEDED")
        assert time.time() - began < 2

    def cancellation():
        call = echo.Expand(R(count=1000, sleep_ms=20), timeout=30)
        next(call)
        call.cancel()
        equal(status(lambda: drained(call))[0], "CANCELLED")

    def large():
        payload = bytes(3 << 20)
        equal(len(echo.Unary(R(payload=payload), timeout=20).payload), 3 << 20)

    def too_large():
        code = status(lambda: echo.Unary(R(payload=bytes(5 << 20)), timeout=20))[0]
        equal(code, "RESOURCE_EXHAUSTED")

    def parallel():
        calls = [echo.Unary.future(R(text=str(i), sleep_ms=20), timeout=20) for i in range(200)]
        equal([c.result().text for c in calls], [str(i) for i in range(200)])

    def unknown():
        call = channel.unary_unary("/trunkcall.test.Echo/Nope")
        equal(status(lambda: call(b"", timeout=5))[0], "UNIMPLEMENTED")
        call = channel.unary_unary("/no.Service/Nope")
        equal(status(lambda: call(b"", timeout=5))[0], "UNIMPLEMENTED")

    def health():
        from grpc_health.v1 import health_pb2 as h, health_pb2_grpc
        stub = health_pb2_grpc.HealthStub(channel)
        equal(stub.Check(h.HealthCheckRequest(), timeout=5).status, h.HealthCheckResponse.SERVING)
        equal(stub.Check(h.HealthCheckRequest(service="up"), timeout=5).status,
              h.HealthCheckResponse.SERVING)
        equal(stub.Check(h.HealthCheckRequest(service="down"), timeout=5).status,
              h.HealthCheckResponse.NOT_SERVING)
        equal(status(lambda: stub.Check(h.HealthCheckRequest(service="?"), timeout=5))[0], "NOT_FOUND")
        watch = stub.Watch(h.HealthCheckRequest(service="?"), timeout=5)
        equal(next(watch).status, h.HealthCheckResponse.SERVICE_UNKNOWN)
        watch.cancel()

    def health_list():
        # grpcio's stubs have no List yet (gRFC A90): its bytes are read by hand.
        answer = channel.unary_unary("/grpc.health.v1.Health/List")(b"", timeout=5)
        assert b"up" in answer and b"down" in answer, answer

    cases = [unary, empty_messages, collect, collect_nothing, expand, chat, metadata, statuses,
             status_text, status_after_messages, deadline, cancellation, large, too_large, parallel,
             unknown, health, health_list]
    for case in cases:
        try:
            case()
            result = {"case": case.__name__, "ok": True, "why": ""}
        except BaseException as error:  # each case is reported, whatever it threw
            result = {"case": case.__name__, "ok": False, "why": f"{type(error).__name__}: {error}"}
        print(json.dumps(result), flush=True)


if sys.argv[1] == "server":
    serve(sys.argv[2])
else:
    client(sys.argv[2], sys.argv[3])
