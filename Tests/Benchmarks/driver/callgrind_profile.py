# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The Trunkcall Authors
"""Where the instructions of a call go: callgrind's own costs by library and by function."""

import os
import re
import subprocess
from collections import Counter

NAMED = re.compile(r"^(?:ob|fn)=\((\d+)\)(?: (.*))?$")


def costs(path):
    """Own instructions as {(library, function): count}."""
    objects, functions, found = {}, {}, Counter()
    library = function = "?"
    skip = False
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            line = line.rstrip("\n")
            if line.startswith(("ob=", "fn=")):
                number, name = NAMED.match(line).groups()
                names = objects if line[0] == "o" else functions
                if name is not None:
                    names[number] = name
                if line[0] == "o":
                    library = os.path.basename(names.get(number, "?"))
                else:
                    function = names.get(number, "?")
            elif line.startswith("cob=") or line.startswith("cfn="):
                number, name = NAMED.match(line[1:]).groups()
                if name is not None:
                    (objects if line[1] == "o" else functions)[number] = name
            elif line.startswith("calls="):
                skip = True  # the next line is the callee's cost
            elif line and (line[0].isdigit() or line[0] in "+-*"):
                if skip:
                    skip = False
                else:
                    found[library, function] += int(line.split()[1])
    return found


def demangled(names):
    try:
        result = subprocess.run(
            ["swift", "demangle", "--compact", "--simplified"],
            text=True,
            input="\n".join(names),
            capture_output=True,
            check=True,
        )
        return dict(zip(names, result.stdout.splitlines()))
    except (OSError, subprocess.CalledProcessError):
        return {}


def show(short, long, units, top=45):
    """What the long run did more than the short one, per unit."""
    difference = costs(long)
    difference.subtract(costs(short))
    libraries = Counter()
    for (library, _), count in difference.items():
        libraries[library] += count
    total = sum(libraries.values()) / units
    print(f"{total:,.0f} instructions each\n\nby library:")
    for library, count in libraries.most_common(10):
        print(f"{count / units:10,.0f}  {count / units / total:6.1%}  {library}")
    functions = difference.most_common(top)
    names = demangled([re.sub(r"'\d+$", "", function) for (_, function), _ in functions])
    print("\nby function, its own:")
    for (library, function), count in functions:
        name = names.get(re.sub(r"'\d+$", "", function), function)
        print(f"{count / units:10,.0f}  {library[:22]:22}  {name[:150]}")
