"""Starts processes that train together, as torch's launcher does."""

import contextlib
import os
import socket
import subprocess
import sys
import time

COMMON = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OSTINATO_TIMEOUT": "200", "PYTHONUNBUFFERED": "1"}


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def one(arguments, rank, size, port, before=(), program=("-m", "ostinato"), **environment):
    """Rank `rank` of `size` processes, with the environment that torch's launcher gives; `before`: a command around;
    program: what Python runs."""
    return subprocess.Popen(
        [*before, sys.executable, *program, *map(str, arguments)],
        env={**os.environ, **COMMON, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": str(rank),
             "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size), **environment},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def start(arguments, size, programs=None, **environment):
    """One process per rank, on this machine. programs: what a rank runs instead, by its number."""
    port = str(free_port())
    chosen = programs or {}
    return [one(arguments, rank, size, port, program=chosen.get(rank, ("-m", "ostinato")), **environment)
            for rank in range(size)]  # fmt: skip


def ends(processes, seconds=400):
    """Wait for all: (exit code, standard output, standard error) of each."""
    deadline = time.monotonic() + seconds
    try:
        found = [p.communicate(timeout=max(deadline - time.monotonic(), 1)) for p in processes]
    finally:
        for p in processes:
            p.kill()
    return [(p.returncode, *texts) for p, texts in zip(processes, found, strict=True)]


def launcher(arguments, size, *, restarts=0, **environment):
    """The command of torch's launcher, on this machine alone."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(size), "--max-restarts",
               str(restarts), "--master-port", str(free_port()), "-m", "ostinato", *map(str, arguments)]  # fmt: skip
    return subprocess.Popen(
        command, env={**os.environ, **COMMON, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ip(*words):
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=True)


@contextlib.contextmanager
def two_hosts():
    """Inside, names of two network namespaces with a cable between them: 10.77.0.1 and 10.77.0.2, both called `cable`.

    Linux, root, and iproute2 only. Raises CalledProcessError where namespaces are not allowed.
    """
    names = [f"ostinato-{os.getpid()}-{k}" for k in (1, 2)]
    ends = [f"ost{os.getpid() % 100000}-{k}" for k in (1, 2)]
    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        for k, (name, end) in enumerate(zip(names, ends, strict=True), 1):
            ip("link", "set", end, "netns", name, "name", "cable")
            ip("-n", name, "addr", "add", f"10.77.0.{k}/24", "dev", "cable")
            ip("-n", name, "link", "set", "cable", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def on(host):
    """What a command on one of the hosts is started with."""
    return ["ip", "netns", "exec", host]
