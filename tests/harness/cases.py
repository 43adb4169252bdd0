# SPDX-License-Identifier: Apache-2.0
"""How a scenario is declared.

    @case("R1 R20", seconds=8)
    def trunk_to_phone(w):
        '''One line that says what is proved.'''

rows     rows of doc/requirements.md that it proves (tests/requirements_check)
seconds  about how long it takes; long ones start first
gate     "shared", "own" (the case starts one itself), or "none"
alone    nothing else may run beside it (load)
builds   "both", or only "sanitizer" or "release"
"""
import importlib
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)


class Skip(Exception):
    """This machine cannot run the case; the text says why."""


class Case:
    """One scenario."""

    def __init__(self, fn, rows, seconds, gate, alone, builds, limit):
        self.fn = fn
        self.name = f"{fn.__module__.rpartition('.')[2]}.{fn.__name__}"
        self.rows = rows.split()
        self.seconds = seconds
        self.gate = gate
        self.alone = alone
        self.builds = builds
        self.limit = limit


_all = {}


def case(rows, seconds=5, gate="shared", alone=False, builds="both", limit=90):
    def declare(fn):
        c = Case(fn, rows, seconds, gate, alone, builds, limit)
        _all[c.name] = c
        return fn
    return declare


def load():
    """Every case of tests/scenario, by name."""
    if TESTS not in sys.path:
        sys.path.insert(0, TESTS)
    for file in sorted(os.listdir(f"{TESTS}/scenario")):
        if file.endswith(".py") and not file.startswith("_"):
            importlib.import_module("scenario." + file[:-3])
    return _all
