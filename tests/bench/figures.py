# SPDX-License-Identifier: Apache-2.0
"""The figures: their names, goals and the line that each becomes.

    figure NAME VALUE UNIT [peer VALUE] [ratio R] [goal G | goal_ratio G]
    figure NAME missing REASON

goal is compared with VALUE, goal_ratio with R; names that end in _rate or
_capacity are at least, all others at most. A bench decides nothing: it prints.
"""
import statistics


class Missing(Exception):
    """A figure can not be measured here; the text says why."""


class Row:
    def __init__(self, name, unit, goal=None, goal_ratio=None):
        self.name = name
        self.unit = unit
        self.goal = goal
        self.goal_ratio = goal_ratio


PARTS = {
    "auth": [
        Row("auth_verify_rate", "verifications/s", goal=100000),
        Row("auth_verify_ipc_rate", "verifications/s", goal=15000),
        Row("register_pair", "us/pair", goal_ratio=0.5),
        Row("register_pair_memory_only", "us/pair"),
        Row("auth_mem_1m", "MB", goal=300),
        Row("auth_p99_1m", "us", goal_ratio=1.5),
        Row("register_storm_lost", "registrations", goal=0),
        Row("bulk_import_100k", "s of CPU", goal=60),
    ],
    "calls": [
        Row("call_cpu_50", "us/call", goal_ratio=0.5),
        Row("call_cpu_200", "us/call", goal_ratio=0.5),
        Row("call_cpu_500", "us/call", goal_ratio=0.5),
        Row("call_cpu_sbc_500", "us/call", goal_ratio=0.25),
        Row("call_cpu_postgres_50", "us/call"),
        Row("call_cpu_postgres_200", "us/call"),
        Row("call_cpu_postgres_500", "us/call"),
        Row("call_setup_p99", "ms", goal=5),
        Row("call_tail_500", "MB", goal=500),
        Row("calls_failed_2000", "calls", goal=0),
        Row("call_mem_sbc", "bytes", goal=8192),
    ],
    "media": [
        Row("rtp_plain_1000", "ns/packet", goal_ratio=0.60),
        Row("rtp_plain_100", "ns/packet", goal_ratio=0.45),
        Row("srtp_cm80_1000", "ns/packet", goal_ratio=0.55),
        Row("srtp_flat", "times", goal=1.1),
        Row("media_calls_capacity", "calls", goal_ratio=1.5),
        Row("media_mem_plain", "bytes", goal=8192),
        Row("media_mem_srtp", "bytes", goal=16384),
        Row("media_delay_on_p99", "us", goal=1000),
        Row("media_delay_off_p99", "us", goal=250),
    ],
    "flows": [
        Row("flow_mem_tls", "bytes", goal=40000),
        Row("flow_register_tls", "us/pair", goal_ratio=0.7),
        Row("flow_call_tls", "us/call", goal_ratio=0.7),
        Row("flow_handshake", "us/handshake", goal_ratio=1.0),
        Row("flow_growth", "MB", goal=4),
        Row("flow_slow_success_rate", "share", goal=0.99),
    ],
}


def shown(value):
    """Four digits that mean something; whole numbers stay whole."""
    if isinstance(value, int) or float(value).is_integer():
        return str(int(value))
    if abs(value) >= 1000:
        return f"{value:.0f}"
    return f"{value:.4g}"


class Figures:
    """The wanted figures of one part, or all of it. Each is printed exactly
    once, and so is one that comes with the measuring of a wanted one."""

    def __init__(self, part, wanted=None):
        self.rows = {row.name: row for row in PARTS[part]}
        self.left = [name for name in self.rows
                     if wanted is None or name in wanted]

    def wants(self, names):
        """Whether a step that brings these has to run."""
        return any(name in self.left for name in names)

    def say(self, name, value, peer=None, ratio=None):
        """peer is the other product's value in the same unit; the ratio comes
        from it unless it is given."""
        row = self.rows[name]
        words = ["figure", name, shown(value), row.unit]
        if ratio is None and peer:
            ratio = value / peer
        if peer is not None:
            words += ["peer", shown(peer)]
        if ratio is not None:
            words += ["ratio", f"{ratio:.3f}"]
        if row.goal is not None:
            words += ["goal", shown(row.goal)]
        if row.goal_ratio is not None:
            words += ["goal_ratio", shown(row.goal_ratio)]
        self._print(name, words)

    def missing(self, name, reason):
        text = " ".join(str(reason).split())[:300]
        self._print(name, ["figure", name, "missing", text])

    def _print(self, name, words):
        if name in self.left:
            self.left.remove(name)
        print(" ".join(words), flush=True)

    def rest(self, reason):
        for name in list(self.left):
            self.missing(name, reason)


def note(text):
    """What a reader needs to believe or doubt a figure."""
    print(f"  {text}", flush=True)


def median(values):
    return statistics.median(values)


def spread(values):
    """"+-8 %" around the median, or how often it was measured."""
    middle = median(values)
    if len(values) < 2 or not middle:
        return "measured once"
    wide = max(abs(v - middle) for v in values) / middle * 100
    return f"{len(values)} times, +-{wide:.1f} %"
