"""Two network namespaces as two machines: a link that breaks ends the run in time, and any number goes on."""

import contextlib
import os
import shutil
import subprocess
import time

import numpy as np
import pytest
import team_processes
from test_team_run import command, equal, text, weights  # noqa: F401 - text is a fixture

from ostinato.cli.main import main
from ostinato.training.checkpoint import load_checkpoint

TIMEOUT = 12
SAME = ("model.weight_drop=0.1", "training.weight_decay=0.01", "model.mixture=none")
"""What else follows from the number of steps."""


@pytest.fixture
def hosts():
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("needs iproute2 and root for network namespaces")
    with contextlib.ExitStack() as stack:
        try:
            names = stack.enter_context(team_processes.two_hosts())
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces are not allowed here: {error.stderr.strip()}")
        yield names


def start(hosts, arguments):
    port = str(team_processes.free_port())
    return [
        team_processes.one(arguments, rank, len(hosts), port, team_processes.on(host), MASTER_ADDR="10.77.0.1",
                           LOCAL_RANK="0", LOCAL_WORLD_SIZE="1", GLOO_SOCKET_IFNAME="cable",
                           OSTINATO_TIMEOUT=str(TIMEOUT))
        for rank, host in enumerate(hosts)
    ]  # fmt: skip


def test_a_cut_link_ends_the_run_in_time_and_it_goes_on(tmp_path, text, hosts):  # noqa: F811
    out = tmp_path / "two"
    machines = start(hosts, command(text, out, 1_000_000, settings=SAME))
    deadline = time.monotonic() + 300
    while not (out / "checkpoint" / "state.json").exists() and time.monotonic() < deadline:
        assert all(machine.poll() is None for machine in machines), team_processes.ends(machines)
        time.sleep(0.05)
    team_processes.ip("-n", hosts[0], "link", "set", "cable", "down")
    cut = time.monotonic()
    ended = team_processes.ends(machines, 200)
    assert time.monotonic() - cut < TIMEOUT + 60
    assert [code for code, _, _ in ended] == [1, 1], ended
    for rank, (_, _, errors) in enumerate(ended):
        said = [line for line in errors.splitlines() if line.startswith("ostinato:")]
        assert len(said) == 1, errors
        assert said[0].startswith(f"ostinato: process {rank} of 2: another process ")
    done = load_checkpoint(out / "checkpoint").position.step
    assert main([str(word) for word in command(text, out, done + 10, "--resume", "--quiet", settings=SAME)]) == 0
    team_processes.ip("-n", hosts[0], "link", "set", "cable", "up")
    ended = team_processes.ends(start(hosts, command(text, out, done + 20, "--resume", settings=SAME)))
    assert [code for code, _, _ in ended] == [0, 0], ended
    assert f"resumed at step {done + 10}" in ended[0][2]
    assert main([str(word) for word in command(text, tmp_path / "one", done + 20, "--quiet", settings=SAME)]) == 0
    both = [load_checkpoint(tmp_path / name / "checkpoint") for name in ("one", "two")]
    assert both[0].position.tokens == both[1].position.tokens
    assert all(np.allclose(tensor, both[1].tensors[name], atol=1e-4) for name, tensor in both[0].tensors.items())
    assert equal(weights(tmp_path / "one"), weights(out), 1e-4)
