# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The Trunkcall Authors
"""A blocking query and nothing else, to compare a watch with: no rate limit, no back-off beyond 0.1 s.

bare-query.py AGENT SERVICE: for each answer a line `NANOSECONDS ADDRESS:PORT ...`, by CLOCK_MONOTONIC,
from the moment at which the whole answer was there.
"""

import http.client
import json
import sys
import time

AGENT, SERVICE = sys.argv[1:]


def address(entry):
    host = entry["Service"]["Address"] or entry["Node"]["Address"]
    return f"{host}:{entry['Service']['Port']}"


def main():
    connection, index = None, 0
    while True:
        try:
            connection = connection or http.client.HTTPConnection(AGENT, timeout=30)
            path = f"/v1/health/service/{SERVICE}?passing=1&wait=20s&index={index}"
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
            now = time.monotonic_ns()
            if answer.status != 200:
                raise OSError(answer.status)
            received = int(answer.headers["X-Consul-Index"])
            index = received if received >= index else 0
            print(now, *sorted(address(entry) for entry in json.loads(body)), flush=True)
        except (OSError, http.client.HTTPException, ValueError):
            connection, index = None, 0
            time.sleep(0.1)


main()
