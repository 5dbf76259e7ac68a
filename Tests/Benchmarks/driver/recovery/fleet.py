# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The Trunkcall Authors
"""Back ends, each a process, and how a client finds them."""

import contextlib
import json
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import build
from process import Failed, Process

COUNT = 5


def free_port(host="127.0.0.1"):
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


class BackEnd(Process):
    def __init__(self, host="127.0.0.1", port=0, prefix=(), log=None, **flags):
        words = [str(word) for name, value in flags.items() for word in (f"--{name}", value)]
        super().__init__(
            [*prefix, build.swift_program("bench-recovery"), "serve", "--host", host, "--port",
             port, *words],
            errors=log,
        )  # fmt: skip
        self.host = host
        self.address = f"{host}:{self.port}"

    def become(self, state):
        self.say(state + "\n")

    def calls(self):
        self.say("count\n")
        return int(self.line(r"^count (\d+)").group(1))

    def end(self, number=signal.SIGTERM):
        """Sends a signal and waits until the process has ended."""
        self.process.send_signal(number)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"{self.address}: not ended 30 s after signal {number}") from error


class Fleet(contextlib.ExitStack):
    """Back ends that end with it."""

    def __init__(self):
        super().__init__()
        self.back_ends = []

    def start(self, *arguments, **options):
        back_end = self.enter_context(BackEnd(*arguments, **options))
        self.back_ends.append(back_end)
        return back_end

    def replace(self, old, *arguments, **options):
        new = self.enter_context(BackEnd(*arguments, **options))
        self.back_ends[self.back_ends.index(old)] = new
        return new

    def calls(self):
        return sum(back_end.calls() for back_end in self.back_ends)

    @property
    def target(self):
        return "ipv4:" + ",".join(back_end.address for back_end in self.back_ends)


class Agent:
    """A Consul agent on ports and in a folder of its own."""

    def __init__(self):
        binary = build.ROOT / ".cache" / "consul" / "consul"
        if not binary.exists():
            raise Failed("no Consul agent in .cache/consul: Scripts/setup fetches it")
        http, serf, server = (free_port() for _ in range(3))
        self.address = f"127.0.0.1:{http}"
        self.folder = tempfile.TemporaryDirectory()
        ports = (
            f"ports {{ http = {http} dns = -1 grpc = -1 serf_lan = {serf} serf_wan = -1 "
            f"server = {server} }}"
        )
        self.process = subprocess.Popen(
            [binary, "agent", "-dev", "-bind", "127.0.0.1", "-log-level", "error", "-hcl", ports],
            cwd=self.folder.name,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.wait(lambda: self.get("status/leader"))

    def get(self, path):
        try:
            with urllib.request.urlopen(f"http://{self.address}/v1/{path}", timeout=2) as answer:
                return json.load(answer)
        except (urllib.error.URLError, OSError):
            return None

    def passing(self, name="recovery"):
        return len(self.get(f"health/service/{name}?passing=1") or [])

    def wait(self, condition, seconds=30):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise Failed(f"the Consul agent at {self.address} is not as expected")
            time.sleep(0.1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()
