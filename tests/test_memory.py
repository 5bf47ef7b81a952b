"""Keeping freed memory: it is kept, it can be switched off, and elsewhere nothing is touched."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from minirnn.cli.networks import load_network
from minirnn.kernels.cpu import memory

SCRIPT = """
import numpy as np
from minirnn.kernels.cpu import memory
from minirnn.bench.machine import memory_now
kept = memory.keep_freed()
held = np.ones(64 * 2**20, np.uint8)
full = memory_now()
del held
after = memory_now()
memory.give_back()
print(int(kept), full - after, full - memory_now())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's setting")
@pytest.mark.parametrize("wanted", ["1", "0"])
def test_freed_memory_stays_if_wanted(wanted):
    environment = {**os.environ, "MINIRNN_KEEP_MEMORY": wanted}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True
    )
    kept, given_back, in_the_end = map(int, done.stdout.split())
    if wanted == "1" and not kept:
        pytest.skip("this C library has no mallopt")
    assert kept == int(wanted)
    assert (given_back < 2**20) == bool(kept)
    assert in_the_end > 60 * 2**20


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    memory._told.clear()
    assert memory.keep_freed() is False
    memory._told.clear()


def test_predict_and_evaluate_keep_it_too(monkeypatch):
    """Their networks come from a file, where nobody asked for it."""
    told = []
    monkeypatch.setattr(memory, "keep_freed", lambda: told.append(True))
    load_network(Path(__file__).parent / "fixtures" / "trained_before.safetensors", {}, "cpu")
    assert told
