# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The Trunkcall Authors
"""Processes that are measured: start, stop, processor time, memory."""

import json
import os
import re
import resource
import select
import signal
import subprocess
import tempfile
import time

CPUS = sorted(os.sched_getaffinity(0))
# The one that is measured, and the one that loads it.
SERVER_CPU, LOAD_CPU = CPUS[0], CPUS[1 % len(CPUS)]


class Failed(Exception):
    """What was to be measured did not work: no figure."""


def raise_descriptor_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def pinned(command, cpu):
    return command if cpu is None else ["taskset", "-c", str(cpu), *map(str, command)]


class Process:
    """A program that says a line when it is ready, and ends when its stdin does."""

    def __init__(self, command, cpu=None, ready=r"^(?:listening|ready)\s*(\d*)", env=None,
                 errors=subprocess.DEVNULL):
        self.command = [str(part) for part in command]
        self.process = subprocess.Popen(
            pinned(self.command, cpu),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **(env or {})},
        )
        self.pid = self.process.pid
        found = self.line(ready)
        self.port = int(found.group(1)) if found.groups() and found.group(1) else None

    def line(self, pattern, timeout=120):
        """The first line on stdout that matches."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if select.select([self.process.stdout], [], [], 0.2)[0]:
                line = self.process.stdout.readline()
                if not line:
                    break
                if found := re.search(pattern, line):
                    return found
            elif self.process.poll() is not None:
                break
        self.stop()
        raise Failed(f"{' '.join(self.command)}: did not say {pattern}")

    def say(self, text):
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def cpu_ns(self):
        """Processor time of all threads."""
        total = 0
        for task in os.listdir(f"/proc/{self.pid}/task"):
            try:
                with open(f"/proc/{self.pid}/task/{task}/schedstat", encoding="ascii") as file:
                    total += int(file.read().split()[0])
            except OSError:
                pass  # that thread has ended
        return total

    def memory_kib(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            return int(re.search(r"VmRSS:\s*(\d+)", file.read()).group(1))

    def stop(self, wait=10):
        if self.process.stdin:
            try:
                self.process.stdin.close()
            except OSError:
                pass
        try:
            self.process.wait(
                0.3 if "nghttpd" in self.command[0] or "ngt" in self.command[0] else wait
            )
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def system_calls(pid, work):
    """What a process and its threads call while `work` runs, by name: strace."""
    with tempfile.NamedTemporaryFile("r") as out:
        strace = subprocess.Popen(
            ["strace", "-f", "-c", "-U", "calls,syscall", "-o", out.name, "-p", str(pid)],
            stderr=subprocess.PIPE,
            text=True,
        )
        strace.stderr.readline()  # attached
        time.sleep(0.3)
        try:
            work()
        finally:
            strace.terminate()
            strace.wait()
            strace.stderr.close()
        return {
            name: int(count)
            for count, name in re.findall(r"^\s*(\d+)\s+(\w+)\s*$", out.read(), re.M)
            if name != "total"
        }


def run(command, cpu=None, timeout=600, env=None):
    """Runs a program to its end and returns its stdout."""
    command = [str(part) for part in command]
    try:
        result = subprocess.run(
            pinned(command, cpu),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{' '.join(command)}: not done after {timeout} s") from error
    if result.returncode:
        raise Failed(f"{' '.join(command)}: {result.stderr.strip()[-400:] or result.returncode}")
    return result.stdout


def run_json(command, cpu=None, timeout=600, env=None):
    """Runs a program whose last line is JSON."""
    lines = run(command, cpu, timeout, env).strip().splitlines()
    if not lines:
        raise Failed(f"{command[0]}: said nothing")
    return json.loads(lines[-1])
