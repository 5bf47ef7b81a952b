"""`minirnn bench scale --ranks`: what is counted, what the model says, and the command with mpiexec."""

from __future__ import annotations

import json

import mpi_cases
import numpy as np
import pytest
from cli_cases import call, fail

from minirnn.bench import parent, ranks_forecast
from minirnn.bench.ranks import Measured, RanksReport
from minirnn.bench.ranks_watch import Watched
from minirnn.distributed import Alone
from minirnn.draw.bench import ranks_figure
from minirnn.errors import InputError
from minirnn.models import build_model

MACHINE = {
    "processor": "a processor", "threads": 1, "versions": {}, "blas": "BLAS",
    "matrix_product_gflops": 100.0,
}  # fmt: skip
MEGA = 10**6


def report(whole: bool = False) -> RanksReport:
    """One rank takes 1 s. Of two, each sends 50 MB in 0.05 s; beside a message without latency."""
    one = Measured(1, [0.9, 1.0, 5.0], [0.9] * 3, [0.0] * 3, [0.0] * 3)
    alone = {MEGA: [0.001] * 3, 100 * MEGA: [0.1, 0.1, 0.7]}
    two = Measured(2, [1.2, 1.25, 9.0], [1.1] * 3, [0.03] * 3, [0.1] * 3, 50 * MEGA, alone)
    return RanksReport("a network", [one, two], MACHINE, 1, 50 * MEGA, whole)


def test_efficiency_is_of_medians():
    made = report()
    assert [made.efficiency(row) for row in made.rows] == [1, 0.8]


def test_the_model_is_asked_with_what_sums_alone_take():
    made = report()
    one, two = made.rows
    assert one.link is None
    assert two.link.bandwidth == pytest.approx(1e9)
    assert two.link.latency == pytest.approx(0, abs=1e-9)
    assert made.predicted(one, True) == made.predicted(one, False) == 1
    assert made.predicted(two, False) == pytest.approx(1.05)  # all of the 50 MB at 1 GB/s
    assert made.predicted(two, True) == pytest.approx(1 + 0.05 / 6)  # the last of six buckets


def test_all_of_it_is_told(tmp_path):
    made = report(whole=True)
    found = json.loads(json.dumps(made.as_dict(), allow_nan=False))
    assert [row["efficiency"] for row in found["rows"]] == [1, 0.8]
    assert [row["bytes_sent_by_each_rank"] for row in found["rows"]] == [0, 50 * MEGA]
    assert {each["step"] for each in found["forecast"]} == {
        "this machine",
        *ranks_forecast.PUBLISHED,
    }
    text = made.as_text().splitlines()
    (line,) = [line for line in text if line.startswith("    2  ")]
    assert line.split() == ["2", "1250", "0.800", "1100", "1008", "1050", "50.0", "30.0", "100.0"]
    assert sum(line.startswith("paper") for line in text) == 9
    made.write_picture(tmp_path / "r.png")
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")


def test_a_small_network_is_not_said_to_have_the_papers_schedule():
    assert "hours" not in report().as_text()
    assert "hours" in report(whole=True).as_text()


def test_the_picture_has_a_panel_for_each_step_and_points_in_the_first():
    steps = report(whole=True).steps()
    first, *others = ranks_figure(
        ranks_forecast.panels(steps), [(1, 1.0), (2, 0.8)], title="t"
    ).axes
    assert len(others) == 2
    *_, points = first.get_lines()
    np.testing.assert_array_equal(points.get_xydata(), [[1, 1], [2, 0.8]])
    assert not [line for axes in others for line in axes.get_lines() if line.get_marker() == "o"]


def test_the_gradients_of_r50_fpn_have_so_many_bytes():
    model = build_model("maskrcnn_resnet50_fpn")
    size = sum(tensor.data.nbytes for tensor in model.parameters() if tensor.requires_grad)
    assert size == ranks_forecast.R50_BYTES


def test_what_is_exchanged_is_counted():
    watched = Watched(Alone())
    end = watched.begin_all_reduce(np.zeros(10, np.float32))
    watched.all_reduce(np.zeros(5, np.float64))
    end()
    assert watched.added == 80
    assert watched.gather("a") == ["a"]
    assert watched.broadcast("a") == "a"
    assert watched.share("a") == ["a"]
    assert watched.adding > 0
    assert watched.talking > 0
    watched.forget()
    assert (watched.added, watched.adding, watched.talking) == (0, 0, 0)


def test_without_mpiexec_it_says_what_installs_it(monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(InputError, match=r"need mpiexec: pip install '\.\[mpi\]'"):
        parent.in_ranks({}, 2, 1)


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("'1,x' is not a list of whole numbers", ["--ranks", "1,x"]),
        ("'0' is not a list of whole numbers", ["--ranks", "0"]),
        ("exclude each other", ["--ranks", "2", "--axis", "area"]),
        ("--batch goes with --ranks", ["--batch", "2"]),
        ("--model goes with --ranks", ["--model", "shapes"]),
    ],
)
def test_mistakes_are_told_in_one_line(message, arguments):
    fail(2, message, "bench", "scale", *arguments)


@pytest.mark.slow
def test_two_ranks_train_together_and_add_up_all_gradients():
    mpi_cases.mpiexec()
    small = ["--model", "shapes", "--batch", 1, "--repeat", 1, "--threads", 2]
    result = call("bench", "scale", "--ranks", "2", *small, "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    one, two = found["rows"]
    assert (one["ranks"], two["ranks"]) == (1, 2)
    model = build_model("maskrcnn_shapes")
    size = sum(tensor.data.nbytes for tensor in model.parameters() if tensor.requires_grad)
    assert found["gradient_bytes"] == size
    # And beside each gradient a mark that it is there.
    assert size < two["bytes_added_up"] == two["bytes_sent_by_each_rank"] < 1.001 * size
    assert len(one["seconds"]) == len(two["seconds"]) == 2
    assert two["efficiency"] == pytest.approx(one["median"] / two["median"])
    assert min(two["cpu_seconds"]) > 0
    assert 0 < min(two["adding_seconds"]) < min(two["seconds"])
    assert two["link"]["bandwidth"] > 0


def test_the_guide_holds_what_the_model_says():
    guide = (mpi_cases.ROOT / "docs/performance.md").read_text(encoding="utf-8")
    _, *rows = ranks_forecast.table(ranks_forecast.PUBLISHED)
    assert len(rows) == 18
    for row in rows:
        assert f"| {' | '.join(row)} |" in guide
