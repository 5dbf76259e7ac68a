# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The Trunkcall Authors
"""A service with many instances that come and go.

flap.py AGENT SERVICE PORT COUNT RATE SECONDS: for 0 seconds it registers COUNT instances in the catalogue,
at addresses 127.1.x.y. Otherwise it changes RATE of them a second, each change a deregistration of one that
is there or the return of one that is not, and prints `done CHANGES SECONDS LEFT` at the end, LEFT being the
number of instances that are there.
"""

import http.client
import json
import random
import sys
import time

AGENT, SERVICE = sys.argv[1:3]
PORT, COUNT, RATE, SECONDS = (int(word) for word in sys.argv[3:7])
CONNECTION = http.client.HTTPConnection(AGENT, timeout=30)


def put(path, value):
    CONNECTION.request("PUT", path, json.dumps(value), {"Content-Type": "application/json"})
    answer = CONNECTION.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise SystemExit(f"{path}: {answer.status} {body.decode()}")


def name(number):
    return f"127.1.{number // 250}.{number % 250 + 1}"


def register(number):
    service = {"ID": name(number), "Service": SERVICE, "Address": name(number), "Port": PORT}
    put("/v1/catalog/register", {"Node": "flapping", "Address": "127.1.0.1", "Service": service})


def deregister(number):
    put("/v1/catalog/deregister", {"Node": "flapping", "ServiceID": name(number)})


def main():
    choice = random.Random(1)
    if SECONDS == 0:
        for number in range(COUNT):
            register(number)
        return
    gone, changes, start = [], 0, time.monotonic()
    while (due := start + changes / RATE) < start + SECONDS:
        time.sleep(max(0, due - time.monotonic()))
        if len(gone) > 100 or (gone and choice.random() < 0.5):
            register(gone.pop(choice.randrange(len(gone))))
        else:
            number = choice.randrange(COUNT)
            while number in gone:
                number = choice.randrange(COUNT)
            deregister(number)
            gone.append(number)
        changes += 1
    print("done", changes, f"{time.monotonic() - start:.1f}", COUNT - len(gone), flush=True)


main()
