"""docs/machines.md from above to below: what one machine can do of it, with few steps of small pictures."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import mpi_cases
import pytest
from cli_cases import TINY

#: What makes a command small: a batch of four, since four ranks share it out.
SMALL = {
    "data": ["--train", "6", "--val", "4", "--size", "64"],
    "train": ["--steps", "2", *TINY[:-1], "4"],
}
GUIDE = (mpi_cases.ROOT / "docs" / "machines.md").read_text(encoding="utf-8")


def commands(heading: str) -> list[str]:
    """The commands below a heading: lines that are indented by four, and go on after a backslash."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", GUIDE, flags=re.M | re.S)
    lines = re.findall(r"^ {4}(\S.*?)$", section.replace("\\\n", " "), flags=re.M)
    return [line.partition("  #")[0] for line in lines]


def run(command: str, folder: Path, *more: str) -> str:
    """Run a line of the guide with this Python and its `mpiexec`, made small; what it prints."""
    words = shlex.split(command)
    words = ["4" if word == "400" else word for word in words]
    place = words.index("minirnn")
    launcher = [str(mpi_cases.mpiexec()), *more, *words[1:place]] if place else []
    small = SMALL.get(words[place + 1], []) if "--resume" not in words else []
    done = subprocess.run(
        [*launcher, sys.executable, "-m", *words[place:], *small],
        cwd=folder,
        env=mpi_cases.environment(),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the commands for one machine were run."""
    mpi_cases.mpiexec()
    folder = tmp_path_factory.mktemp("one-machine")
    for command in commands("One machine"):
        run(command, folder)
    return folder


def steps_of(folder: Path) -> list[int]:
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["step"] for line in lines]


@pytest.mark.slow
def test_one_machine(place):
    run_folder = place / "runs/ranks"
    assert steps_of(run_folder)[-1] == 2
    assert (run_folder / "detections_val.json").is_file()
    assert len(list((place / "drawn").glob("*.png"))) == 4


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_ranks(place):
    (command,) = commands("When a rank dies")
    assert "mpiexec -n 4 " in command
    run(command, place)
    assert steps_of(place / "runs/ranks")[-1] == 4


@pytest.mark.slow
def test_a_file_of_hosts(place):
    """Both "machines" are this one; for ssh stands fork, so that nobody has to let anybody in."""
    listing, command = commands("Two machines with ssh")
    here = listing.replace("first", "localhost").replace("second", "127.0.0.1")
    subprocess.run(["sh", "-c", here], cwd=place, check=True)
    assert (place / "hosts").read_text() == "localhost:2\n127.0.0.1:2\n"
    run(command, place, "-launcher", "fork")
    assert steps_of(place / "runs/hosts")[-1] == 2
