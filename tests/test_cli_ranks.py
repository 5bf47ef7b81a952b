"""`mpiexec -n 3 minirnn evaluate …` and `… predict …`: what one process would have written and said."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import mpi_cases
import pytest
from cli_cases import call, fail, succeed, trained

from minirnn.cli import cli
from minirnn.distributed import find

RANKS = 3
MINIRNN = ("-m", "minirnn")
FEW = ("--set", "box_max_detections=5")
SURE = ("--set", "box_score_threshold=0.01")  # with hardly trained weights, hundreds of detections


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    mpi_cases.mpiexec()
    folder = tmp_path_factory.mktemp("data") / "shapes"
    succeed("data", "shapes", "--out", folder, "--train", 4, "--val", 8, "--size", 64)
    return folder


@pytest.fixture(scope="module")
def weights(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(shapes, tmp_path_factory.mktemp("runs") / "first")


@pytest.fixture
def album(shapes: Path, tmp_path: Path) -> Path:
    """Seven photos and one that cannot be read, which comes third and so to the last rank."""
    folder = tmp_path / "album"
    shutil.copytree(shapes / "val", folder)
    (folder / "000003.jpg").write_bytes(b"no picture")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("size", [1, 2], ids=["batches of 1", "batches of 2"])
def test_evaluate_writes_and_prints_what_one_process_does(shapes, weights, tmp_path, size):
    arguments = ["evaluate", "--weights", weights, "--data", shapes, "--batch-size", size, *SURE]
    alone = mpi_cases.run(1, *MINIRNN, *arguments, "--out", tmp_path / "found.json")
    one = (tmp_path / "found.json").read_bytes()
    (tmp_path / "found.json").unlink()
    many = mpi_cases.run(RANKS, *MINIRNN, *arguments, "--out", tmp_path / "found.json")
    assert alone.returncode == many.returncode == 0, many.stderr
    assert len(json.loads(one)) > 300
    assert (tmp_path / "found.json").read_bytes() == one

    def without_time(text: str) -> str:
        return re.sub(r"[\d.]+ s each", "", text)

    assert without_time(many.stdout) == without_time(alone.stdout)
    assert "8 images" in many.stdout


def test_predict_writes_and_prints_what_one_process_does(album, weights, tmp_path):
    written, said = [], []
    for ranks in (1, RANKS):
        out = tmp_path / "out"
        arguments = ["predict", album, "--weights", weights, "--out", out, *SURE, *FEW]
        more = [
            "--score",
            0.02,
            "--coco",
            out / "all.json",
            "--gif",
            out / "all.gif",
            "--crops",
            out / "crops",
        ]
        out.mkdir()
        done = mpi_cases.run(ranks, *MINIRNN, *arguments, *more)
        assert done.returncode == 1, done.stderr
        written.append(contents(out))
        said.append((done.stdout, done.stderr))
        shutil.rmtree(out)
    assert written[0] == written[1]
    assert said[0] == said[1]
    assert {"000001.detections.png", "all.json", "all.images.json", "all.gif"} < written[1].keys()
    assert "1 of 8 photos could not be used" in said[1][1]
    assert said[1][1].count("000003.jpg") == 1
    assert said[1][0].count("passed over") == 1


def test_more_ranks_than_photos(album, weights, tmp_path):
    arguments = ["predict", album / "000001.jpg", "--weights", weights, "--out", tmp_path, "--json"]
    done = mpi_cases.run(RANKS, *MINIRNN, *arguments)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["photos"]) == 1


def test_what_is_wrong_for_all_is_said_once(shapes, tmp_path):
    missing = ["--weights", tmp_path / "none.safetensors", "--data", shapes]
    done = mpi_cases.run(RANKS, *MINIRNN, "evaluate", *missing)
    assert done.returncode == 1
    assert (
        done.stderr == f"minirnn: error: {tmp_path / 'none.safetensors'}: there is no such file\n"
    )


def test_what_one_rank_meets_ends_all_and_is_said_with_rank_and_host(shapes, weights, tmp_path):
    bad = tmp_path / "bad"
    shutil.copytree(shapes, bad)
    (bad / "val/000002.jpg").write_bytes(b"no picture")  # the second image: rank 1's
    arguments = ["evaluate", "--weights", weights, "--data", bad, "--out", tmp_path / "r.json"]
    done = mpi_cases.run(RANKS, *MINIRNN, *arguments, "--batch-size", 1)
    assert done.returncode == 1
    (line,) = [x for x in done.stderr.splitlines() if x.startswith("minirnn: error: ")]
    assert re.search(r"rank 1 of 3, on \S+: image 2 of .*000002\.jpg: not a readable image", line)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "r.json").exists()


SHARED_OUT = {"train", "evaluate", "predict"}


@pytest.fixture
def as_rank(monkeypatch):
    """This process as its launcher would start it."""
    for names in find.LAUNCHERS:
        for name in names:
            monkeypatch.delenv(name, raising=False)

    def started(rank: int, size: int) -> None:
        monkeypatch.setenv("PMI_RANK", str(rank))
        monkeypatch.setenv("PMI_SIZE", str(size))

    return started


@pytest.mark.parametrize("name", sorted(set(cli.commands) - SHARED_OUT))
def test_what_is_not_shared_out_is_refused_under_mpiexec(name, as_rank):
    """Before it does anything: each rank would write the same files, or measure while others compute."""
    as_rank(0, 4)
    for words in ([name], [name, "--help"]):
        fail(2, f"{name} is not shared out among 4 ranks; start it without mpiexec", *words)
    as_rank(1, 4)
    assert call(name) == (2, "", "")  # the first has said it
    as_rank(0, 1)
    succeed(name, "--help")  # one rank is as none


@pytest.mark.parametrize("name", sorted(SHARED_OUT))
def test_what_is_shared_out_is_not_refused(name, as_rank):
    as_rank(0, 4)
    succeed(name, "--help")
    succeed("--help")
