# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The Trunkcall Authors
"""Builds what is measured, and installs the Debian packages that it needs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
ROOT = HOME.parent.parent
SWIFT = HOME / ".build-bench"
NATIVE = HOME / ".build-c"
BARE = HOME / ".build-strip"
GRPC_SWIFT = HOME / "Peers" / "grpc-swift"


def note(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def call(command, **options):
    result = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, **options
    )
    if result.returncode:
        note(f"failed: {' '.join(map(str, command))}")
        sys.exit((result.stdout + result.stderr)[-4000:])
    return result.stdout


def packages(*names):
    """Installs those that are missing."""
    missing = [
        name
        for name in names
        if "ok installed"
        not in subprocess.run(
            ["dpkg-query", "-W", "-f=${Status}", name], capture_output=True, text=True, check=False
        ).stdout
    ]
    if not missing:
        return
    note(f"installing {' '.join(missing)}")
    root = [] if os.geteuid() == 0 else ["sudo"]
    call([*root, "apt-get", "update", "-qq"])
    call(
        [
            *root,
            "env",
            "DEBIAN_FRONTEND=noninteractive",
            "apt-get",
            "install",
            "-y",
            "-qq",
            "--no-install-recommends",
            *missing,
        ]
    )


def base():
    """The library's own programs, and the neutral ones in C."""
    packages("libnghttp2-dev", "zlib1g-dev", "libssl-dev", "pkg-config", "gcc", "libc6-dev")
    note("building the Swift programs")
    call(["swift", "build", "-c", "release", "--package-path", HOME, "--scratch-path", SWIFT])
    NATIVE.mkdir(exist_ok=True)
    flags = {"load": ["-lnghttp2"], "ngt": ["-lnghttp2"], "shared": ["-shared", "-fPIC", "-ldl"]}
    for name, words in flags.items():
        source, target = HOME / "C" / f"{name}.c", NATIVE / name
        if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
            call(["cc", "-O2", "-o", target, source, *words])


def swift_program(name):
    return SWIFT / "release" / name


def native(name):
    return NATIVE / name


def bare(name):
    """Without debug information, which valgrind 3.19 cannot read."""
    BARE.mkdir(exist_ok=True)
    source, target = swift_program(name), BARE / name
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        call(["strip", "-g", "-o", target, source])
    return target


def cpp():
    packages(
        "libgrpc++-dev",
        "protobuf-compiler-grpc",
        "libprotobuf-dev",
        "protobuf-compiler",
        "g++",
        "pkg-config",
    )
    out = NATIVE / "cpp"
    out.mkdir(parents=True, exist_ok=True)
    sources = HOME / "Peers" / "cpp"
    newest = max(path.stat().st_mtime for path in sources.iterdir())
    if all(
        (out / name).exists() and (out / name).stat().st_mtime > newest
        for name in ("server", "client", "pace")
    ):
        return
    note("building the peers in C++")
    protos = ROOT / "Protos"
    plugin = shutil.which("grpc_cpp_plugin")
    call(
        [
            "protoc",
            "-I",
            protos,
            "-I",
            protos / "bench",
            f"--cpp_out={out}",
            f"--grpc_out={out}",
            f"--plugin=protoc-gen-grpc={plugin}",
            "bench.proto",
            "helloworld.proto",
        ]
    )
    flags = call(["pkg-config", "--cflags", "--libs", "grpc++", "protobuf"]).split()
    generated = [
        out / f"{name}{kind}.cc" for name in ("bench", "helloworld") for kind in (".pb", ".grpc.pb")
    ]
    for name in ("server", "client", "pace"):
        call(
            [
                "g++",
                "-O2",
                "-std=c++17",
                "-I",
                out,
                "-o",
                out / name,
                sources / f"{name}.cc",
                *generated,
                *flags,
            ]
        )


def grpc_swift():
    """Takes about a quarter of an hour of processor time, once."""
    note("building grpc-swift-2's programs: about 1,000 s of processor time, once")
    call(
        [
            "nice",
            "-n",
            "19",
            "swift",
            "build",
            "-c",
            "release",
            "--package-path",
            GRPC_SWIFT,
            "--scratch-path",
            GRPC_SWIFT / ".build",
        ]
    )


def grpc_swift_program(name):
    return GRPC_SWIFT / ".build" / "release" / name
