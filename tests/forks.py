"""`python -m onlogit` by fork: a process that has everything loaded forks one for each order, ready in .1 s rather than 1.5.

It has one thread and no open state when it forks. What it forks does what `python -m onlogit` does, in a process of its own,
which is the child of whoever ordered it, and can be waited for, sent signals and killed like one. Orders come over a
socket with the descriptors of stdin, stdout and stderr. What is read as Python starts (PYTHONUTF8 and the like) does not
reach such a process: tests of that start a real one.
"""

import atexit
import ctypes
import json
import os
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

ROOT = Path(__file__).parent.parent
COMMAND = [sys.executable, "-m", "onlogit"]
LONGEST = 65_536
ADOPT = 36  # PR_SET_CHILD_SUBREAPER: orphans below this process become its children
LEARNERS = ("belief", "sgd", "ftrl")


def environment(**more: str) -> dict[str, str]:
    """Ours, with this checkout on the path, and without settings of onlogit but those given."""
    path = os.pathsep.join(filter(None, [str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ONLOGIT_")}
    return {**kept, "PYTHONPATH": path, **more}


class Forked(subprocess.Popen[Any]):
    """As subprocess.Popen, for `args` that begin with COMMAND."""

    def _execute_child(
        self, args: Any, executable: Any, preexec_fn: Any, close_fds: Any, pass_fds: Any, cwd: Any, env: Any,
        startupinfo: Any, creationflags: Any, shell: Any, p2cread: int, p2cwrite: int, c2pread: int, c2pwrite: int,
        errread: int, errwrite: int, *rest: Any,
    ) -> None:  # fmt: skip
        assert list(args[: len(COMMAND)]) == COMMAND, args
        order = {
            "args": [str(arg) for arg in args[len(COMMAND) :]],
            "cwd": str(cwd or Path.cwd()),
            "env": env or environment(),
        }
        ends = [usual if given == -1 else int(given) for usual, given in ((0, p2cread), (1, c2pwrite), (2, errwrite))]
        channel = template()
        socket.send_fds(channel, [json.dumps(order).encode()], ends)
        self.pid = int(channel.recv(LONGEST))
        self._child_created = True
        close: Any = getattr(self, "_close_pipe_fds")  # noqa: B009 - of Python's own, unknown to type checkers
        close(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)


def run(args: list[str], timeout: float = 120.0, **more: Any) -> "subprocess.CompletedProcess[Any]":
    """As subprocess.run, by fork."""
    given, check = more.pop("input", None), more.pop("check", False)
    if more.pop("capture_output", False):
        more |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    if given is not None:
        more["stdin"] = subprocess.PIPE
    with Forked(args, **more) as process:
        try:
            out, err = process.communicate(given, timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(args, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


@cache
def template() -> socket.socket:
    """Where to order; the process that forks starts with the first order, and ends when nobody can order any more."""
    assert ctypes.CDLL(None).prctl(ADOPT, 1, 0, 0, 0) == 0
    ours, theirs = socket.socketpair()
    with open(Path(mkdtemp()) / "log", "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "forks", str(theirs.fileno())],
            env=environment(), pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    theirs.close()
    atexit.register(process.wait, 20)
    atexit.register(ours.close)  # called first
    return ours


def serve_orders(channel: socket.socket) -> None:
    """Load everything, then fork as told."""
    import click

    from onlogit.cli import COMMANDS, cli
    from onlogit.config import Config
    from onlogit.daemon import lifecycle, rehearsal  # noqa: F401

    for name in COMMANDS:
        cli.get_command(click.Context(cli), name)
    for learner in LEARNERS:
        rehearsal.rehearse(None, Config(learner=learner))
    while True:
        data, descriptors, _, _ = socket.recv_fds(channel, LONGEST, 3)
        if not data:
            return
        read, write = os.pipe()
        between = os.fork()
        if not between:  # it ends at once, so that its own child goes to whoever ordered
            child = os.fork()
            if not child:
                begin(json.loads(data), descriptors)
            os.write(write, b"%d" % child)
            os._exit(0)
        os.waitpid(between, 0)
        channel.sendall(os.read(read, LONGEST))
        for each in (read, write, *descriptors):
            os.close(each)


def begin(order: dict[str, Any], descriptors: list[int]) -> None:
    """Be the process that was ordered."""
    from onlogit.cli import main
    from onlogit.daemon import failpoints

    try:
        for number, each in enumerate(descriptors):
            os.dup2(each, number)
        os.closerange(3, 1024)
        os.chdir(order["cwd"])
        os.environ.clear()
        os.environ.update(order["env"])
        failpoints.arm()
        sys.argv = ["onlogit", *order["args"]]
        main()
    finally:
        os._exit(1)


if __name__ == "__main__":
    serve_orders(socket.socket(fileno=int(sys.argv[1])))
