# SPDX-License-Identifier: Apache-2.0
"""Programs that the tests start.

Each is stopped by the process id of its start and by nothing else; each dies
with its starter (setpriv --pdeathsig), and stands in a session of its own, so
that Ctrl-C reaches the starter alone, which stops things in order. Waiting is always for an event with a
generous bound, never for a fixed time.
"""
import os
import signal
import subprocess
import time

# One factor for slow machines; the bounds below are generous already.
PATIENCE = float(os.environ.get("GATEHOUSE_PATIENCE", "1"))


class Problem(AssertionError):
    """What was expected did not come; the text says what and where to look."""


def wait_for(probe, what, timeout=10.0, pause=0.02):
    """Calls probe() until it returns something true, and returns that."""
    end = time.monotonic() + timeout * PATIENCE
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > end:
            raise Problem(f"waited {timeout * PATIENCE:.0f} s for {what}")
        time.sleep(pause)


def in_namespace(argv, ns):
    """argv, run inside the named network namespace."""
    return ["nsenter", f"--net=/run/netns/{ns}", "--"] + argv if ns else argv


def run(argv, ns=None, timeout=60.0, check=True, **options):
    """Runs a short program to its end and returns its output."""
    done = subprocess.run(in_namespace(argv, ns), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=timeout * PATIENCE, text=True,
                          errors="replace", check=False, **options)
    if check and done.returncode != 0:
        raise Problem(f"{' '.join(argv)}: exit {done.returncode}: "
                      f"{done.stdout.strip()[-2000:]}")
    return done.stdout


class Proc:
    """A running program; standard output and error go to log_path."""

    def __init__(self, argv, log_path, ns=None, env=None, cwd=None,
                 stdin=subprocess.DEVNULL, bound=True):
        self.argv = argv
        self.log_path = log_path
        full = in_namespace(argv, ns)
        if bound:
            full = ["setpriv", "--pdeathsig", "KILL", "--"] + full
        environment = dict(os.environ)
        environment.update(env or {})
        with open(log_path, "ab") as log:
            self.popen = subprocess.Popen(full, stdin=stdin, stdout=log,
                                          stderr=log, env=environment, cwd=cwd,
                                          start_new_session=True)

    @property
    def pid(self):
        """nsenter and setpriv exec: the program has this id."""
        return self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def log(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def wait(self, timeout):
        """Exit status once the program has ended by itself."""
        try:
            return self.popen.wait(timeout * PATIENCE)
        except subprocess.TimeoutExpired:
            self.stop(signal.SIGKILL)
            raise Problem(f"{os.path.basename(self.argv[0])} still ran after "
                          f"{timeout * PATIENCE:.0f} s; {self.log_path}") from None

    def stop(self, sig=signal.SIGTERM, timeout=10.0):
        """Ends it, with SIGKILL where the signal is not enough."""
        if self.popen.poll() is None:
            self.popen.send_signal(sig)
            try:
                self.popen.wait(timeout * PATIENCE)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        return self.popen.returncode


class Group:
    """Everything that one case started; ends in reverse order."""

    def __init__(self):
        self.things = []

    def add(self, thing):
        self.things.append(thing)
        return thing

    def stop(self):
        problem = None
        while self.things:
            try:
                self.things.pop().stop()
            except Exception as e:  # the others must end too
                problem = problem or e
        if problem:
            raise problem
