# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The Trunkcall Authors
"""Scripts/bench"""

import argparse
import sys

import build
import instructions
from process import Failed


def main():
    parser = argparse.ArgumentParser(prog="Scripts/bench")
    parser.add_argument("--quick", action="store_true", help="does it all work? under a minute")
    parser.add_argument("--peers", action="store_true", help="gRPC C++ and grpc-swift-2 as well")
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        choices=["cpp", "grpc-swift-2"],
        help="with --peers: leave one out",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="SCENARIO",
        help="this scenario alone (repeatable)",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--instructions",
        action="store_true",
        help="instructions per call against the committed figures",
    )
    parser.add_argument("--update", action="store_true", help="with --instructions: rewrite them")
    parser.add_argument(
        "--profile", metavar="FIGURE", help="where the instructions of one of these figures go"
    )
    parser.add_argument(
        "--footprint",
        action="store_true",
        help="clean builds of greeter-server: processor time, size, start; with --peers beside "
        "grpc-swift-2's",
    )
    parser.add_argument(
        "--recovery",
        action="store_true",
        help="back ends that are replaced, slow, failing or gone: about half an hour; --only restart, "
        "slow, failing or vanished",
    )
    parser.add_argument("--log", help="with --recovery: a file for what programs print on stderr")
    parser.add_argument("--no-build", action="store_true")
    parser.add_argument("--output", help="folder of the results; default docs/performance")
    options = parser.parse_args()
    try:
        if options.footprint:
            import footprint

            return footprint.main(options.peers, options.output)
        if not options.no_build:
            build.base()
        if options.instructions:
            return instructions.compare(options.update)
        if options.profile:
            return instructions.show(options.profile)
        if options.recovery:
            import recovery

            return recovery.main(options)
        import suite

        return suite.main(options)
    except BrokenPipeError:  # `| head`
        sys.stderr.close()
        return 0
    except Failed as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


sys.exit(main())
