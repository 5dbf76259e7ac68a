# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The Trunkcall Authors
"""A DNS server whose only name has the addresses that it is given, for a second each time."""

import socket
import struct
import threading

TTL = 1
A = 1


class Names:
    def __init__(self, addresses):
        self.addresses = list(addresses)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.questions = 0
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                question, peer = self.socket.recvfrom(2_048)
                self.socket.sendto(self.answer(question), peer)
            except OSError:
                return  # closed

    def answer(self, message):
        """RFC 1035 §4.1: header, the question again, and a record of 16 bytes for each address."""
        self.questions += 1
        end = message.index(0, 12) + 5
        kind = struct.unpack(">H", message[end - 4 : end - 2])[0]
        found = list(self.addresses) if kind == A else []
        records = b"".join(
            struct.pack(">HHHIH", 0xC00C, A, 1, TTL, 4) + socket.inet_aton(address)
            for address in found
        )
        header = message[:2] + struct.pack(">HHHHH", 0x8180, 1, len(found), 0, 0)
        return header + message[12:end] + records

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
