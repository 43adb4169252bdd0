# SPDX-License-Identifier: Apache-2.0
"""Everything is killed while a hundred calls talk."""
import os
import random

from chaos.chaos import Chaos
from harness.cases import case

SEED = os.environ.get("GATEHOUSE_SEED")


def _run(w, calls, seconds, hold_ms, memory, phones=4):
    c = Chaos(w, int(SEED or random.SystemRandom().randrange(1 << 31)), calls,
              hold_ms, phones)
    print(f"chaos: GATEHOUSE_SEED={c.seed}")
    c.prepare(seconds)
    c.begin(seconds)
    c.kill_for(seconds)
    c.end()
    c.summary()
    assert not c.lost(), [vars(x) for x in c.lost()[:5]]
    assert not c.talk.done[5], "packets with another content"
    c.phones_heard()
    wrong = c.wrong_records()
    assert not wrong, f"{len(wrong)}: " + " | ".join(wrong[:5])
    left = c.left_over(memory)
    assert not left, left
    bad = [line for line in w.gate.faults() if " keeper " not in line]
    assert not bad, bad


@case("R20 R43 R52", seconds=80, gate="own", alone=True, builds="release",
      limit=240)
def a_hundred_calls(w):
    """96 calls of the generator and four phones talk, plain and encrypted,
    over UDP and TLS; every process is killed in turn for a minute: no call is
    lost, every BYE answered, every record there once and right, nothing left
    over."""
    _run(w, 96, 60, (15000, 45000), 48 << 20)


@case("R20 R43 R52", seconds=25, gate="own", alone=True, builds="sanitizer",
      limit=240)
def some_calls(w):
    """The same for 10 seconds with 12 calls of the generator alone under the
    sanitizers: phones meet kills there in survival.*."""
    _run(w, 12, 10, (6000, 15000), None, phones=0)
