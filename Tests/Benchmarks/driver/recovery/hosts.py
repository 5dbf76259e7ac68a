# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The Trunkcall Authors
"""Hosts on a switch, as network namespaces, of which one can vanish without a packet."""

import os
import subprocess

from process import Failed

NETWORK = "10.214.0"


def ip(*words):
    result = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if result.returncode:
        raise Failed(f"ip {' '.join(words)}: {result.stderr.strip()}")


class Hosts:
    """The client's host has the switch, a bridge; each server's host hangs on a port of it."""

    def __init__(self, count):
        self.client = f"recovery-{os.getpid()}-c"
        self.servers = [f"recovery-{os.getpid()}-{number}" for number in range(count)]
        self.made = []

    def __enter__(self):
        try:
            for name in [self.client, *self.servers]:
                ip("netns", "add", name)
                self.made.append(name)
                ip("-n", name, "link", "set", "lo", "up")
            ip("-n", self.client, "link", "add", "switch", "type", "bridge")
            ip("-n", self.client, "addr", "add", f"{NETWORK}.1/24", "dev", "switch")
            ip("-n", self.client, "link", "set", "switch", "up")
            for number, name in enumerate(self.servers):
                ip("link", "add", f"port{number}", "netns", self.client, "type", "veth", "peer",
                   "name", "eth0", "netns", name)  # fmt: skip
                ip("-n", name, "addr", "add", f"{self.address(number)}/24", "dev", "eth0")
                ip("-n", name, "link", "set", "eth0", "up")
                ip("-n", self.client, "link", "set", f"port{number}", "master", "switch", "up")
        except Failed:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for name in self.made:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    def address(self, number):
        return f"{NETWORK}.{number + 11}"

    def on(self, number):
        return ["ip", "netns", "exec", self.servers[number]]

    @property
    def on_client(self):
        return ["ip", "netns", "exec", self.client]

    def vanish(self, number):
        """The port's link is down: nothing comes or goes, no RST, no ICMP."""
        ip("-n", self.client, "link", "set", f"port{number}", "down")

    def come_back(self, number):
        ip("-n", self.client, "link", "set", f"port{number}", "up")
