"""best.safetensors holds what the run says it holds, whatever becomes of the files in between."""

from __future__ import annotations

import os

import pytest
from test_training_loop import Stopped, TinyModel, outcome, run

from minirnn.errors import InputError
from minirnn.files import checkpoint as files
from minirnn.training import read_checkpoint

APS = {2: 0.1, 4: 0.3, 6: 0.2, 8: 0.5, 10: 0.4, 12: 0.2}


def evaluate(step, model):
    return {"bbox": {"AP": APS[step]}, "segm": {"AP": 0.6 - APS[step]}}


GIVEN = {"callback": evaluate, "callback_every": 2, "best_by": "bbox", "checkpoint_every": 3}


def go_on(folder, **changes):
    return run(folder, **{**GIVEN, **changes}, resume=True, model=TinyModel(value=9.0))


def step_in(folder, name="best"):
    return read_checkpoint(folder / f"{name}.safetensors")[1]["step"]


def by_an_earlier_version(folder, monkeypatch):
    """Write best.safetensors anew, as it was before it said by what it is the best."""
    path = folder / "best.safetensors"
    arrays, metadata = files.read_checkpoint(path)
    config, step = metadata["config"], metadata["step"]
    files.save_checkpoint(path, arrays, config, step=step)
    assert read_checkpoint(path)[1]["best"] is None


def test_the_file_says_by_what_it_is_the_best(tmp_path):
    run(tmp_path, **GIVEN)
    assert read_checkpoint(tmp_path / "best.safetensors")[1]["best"] == {
        "kind": "bbox",
        "score": 0.5,
    }
    assert read_checkpoint(tmp_path / "checkpoint.safetensors")[1]["best"] is None


@pytest.mark.parametrize("stop", range(1, 12))
def test_a_stop_anywhere_leaves_the_same_best(tmp_path, stop):
    run(tmp_path / "whole", **GIVEN)
    run(tmp_path / "parts", **GIVEN, stop_at=stop)
    go_on(tmp_path / "parts")
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")
    best = [(tmp_path / name / "best.safetensors").read_bytes() for name in ("whole", "parts")]
    assert best[0] == best[1]


def test_a_file_ahead_of_the_checkpoint_stays_until_the_run_is_there_again(tmp_path):
    """Killed after step 8, the run goes on from step 3: its weights of step 4 are not the best."""
    run(tmp_path / "whole", **GIVEN)
    run(tmp_path / "parts", **GIVEN, stop_at=3)
    checkpoint = (tmp_path / "parts" / "checkpoint.safetensors").read_bytes()
    run(tmp_path / "parts", **GIVEN, resume=True, stop_at=9)
    (tmp_path / "parts" / "checkpoint.safetensors").write_bytes(checkpoint)
    summary = go_on(tmp_path / "parts", stop_at=7)
    assert summary.steps == 7
    assert (summary.best_step, summary.best_score) == (8, 0.5) == (step_in(tmp_path / "parts"), 0.5)
    summary = go_on(tmp_path / "parts", patience=2)
    assert (summary.best_step, summary.steps) == (8, 12)  # not counted twice
    best = [(tmp_path / name / "best.safetensors").read_bytes() for name in ("whole", "parts")]
    assert best[0] == best[1]


@pytest.mark.parametrize("earlier", [False, True])
def test_a_later_choice_of_the_ap_changes_nothing_about_the_file(tmp_path, earlier, monkeypatch):
    run(tmp_path, **GIVEN, stop_at=9)
    if not earlier:
        message = r"asks for mask AP, but best\.safetensors .* by box AP \(0\.500, step 8\)"
        with pytest.raises(InputError, match=message):
            go_on(tmp_path, best_by="segm")
        summary = go_on(tmp_path, best_by=None)  # as it was
        assert (summary.best_name, summary.best_step, summary.best_score) == ("box AP", 8, 0.5)
    else:  # the file does not say by what it is the best, but its step: named is what it holds
        by_an_earlier_version(tmp_path, monkeypatch)
        summary = go_on(tmp_path, best_by="segm", stop_at=9)
        assert (summary.best_name, summary.best_step) == ("mask AP", 8)
        assert summary.best_score == 0.6 - APS[8]
    assert step_in(tmp_path) == summary.best_step


def test_without_metrics_worse_weights_do_not_take_the_place_of_the_best(tmp_path, capsys):
    run(tmp_path, **GIVEN, stop_at=9)
    (tmp_path / "metrics.jsonl").unlink()
    summary = go_on(tmp_path, progress=True)
    assert (summary.best_step, summary.best_score) == (8, 0.5)
    assert step_in(tmp_path) == 8
    told = capsys.readouterr().err
    assert "step 10: box AP 0.400, mask AP 0.200 (best box AP: 0.500 at step 8)" in told


def test_best_weights_of_an_earlier_version_go_on_with_their_record(tmp_path, monkeypatch):
    run(tmp_path, **GIVEN, stop_at=5)
    by_an_earlier_version(tmp_path, monkeypatch)
    assert go_on(tmp_path, stop_at=7).best_step == 4  # 0.2 of step 6 is worse
    assert go_on(tmp_path).best_step == step_in(tmp_path) == 8
    assert not list(tmp_path.glob("best-*"))


def test_best_weights_of_which_nobody_knows_the_ap_are_put_aside(tmp_path, monkeypatch, capsys):
    run(tmp_path, **GIVEN, stop_at=9)
    by_an_earlier_version(tmp_path, monkeypatch)
    (tmp_path / "metrics.jsonl").unlink()
    summary = go_on(tmp_path, callback=None, callback_every=0, stop_at=9)
    assert (summary.best_step, summary.best_score) == (8, None)
    assert go_on(tmp_path).best_step == step_in(tmp_path) == 10
    assert step_in(tmp_path, "best-of-step-8") == 8
    assert "(step 8) does not say its AP" in capsys.readouterr().err


def test_a_file_of_an_earlier_version_ahead_of_the_checkpoint(tmp_path, monkeypatch, capsys):
    run(tmp_path, **GIVEN, stop_at=3)
    checkpoint = (tmp_path / "checkpoint.safetensors").read_bytes()
    run(tmp_path, **GIVEN, resume=True, stop_at=9)
    (tmp_path / "checkpoint.safetensors").write_bytes(checkpoint)
    by_an_earlier_version(tmp_path, monkeypatch)
    assert go_on(tmp_path, stop_at=7, progress=True).best_step == 8
    assert "(kept: step 8)" in capsys.readouterr().err
    assert go_on(tmp_path).best_step == step_in(tmp_path) == 8
    assert read_checkpoint(tmp_path / "best.safetensors")[1]["best"]["score"] == 0.5


def test_best_weights_that_are_gone_are_not_named(tmp_path, capsys):
    run(tmp_path, **GIVEN, stop_at=9)
    (tmp_path / "best.safetensors").unlink()
    summary = go_on(tmp_path, stop_at=9)
    assert summary.best is None
    summary = go_on(tmp_path, progress=True)
    assert (summary.best_step, summary.best_score) == (10, 0.4)  # the best that there still is
    told = capsys.readouterr().err
    assert "step 10: box AP 0.400, mask AP 0.200 (kept in best.safetensors)" in told


def test_best_weights_that_go_while_the_run_goes_are_not_named(tmp_path):
    def lose(line):
        if line["step"] == 11:
            (tmp_path / "best.safetensors").unlink()

    assert run(tmp_path, **GIVEN, watch=lose).best is None


@pytest.mark.parametrize("content", [b"mine", b""])
def test_a_file_that_is_no_best_weights_of_ours_stays(tmp_path, content):
    run(tmp_path, **GIVEN, stop_at=9)
    (tmp_path / "best.safetensors").write_bytes(content)
    before = outcome(tmp_path)
    with pytest.raises(InputError, match=r"best\.safetensors .*move it elsewhere"):
        go_on(tmp_path)
    assert outcome(tmp_path) == before
    assert (tmp_path / "best.safetensors").read_bytes() == content


def test_of_equals_the_last_is_the_best_and_patience_runs_on(tmp_path):
    """While nothing is found each AP is 0, and the first weights have learned nothing."""
    nothing = {**GIVEN, "callback": lambda *_: {"bbox": {"AP": 0.0}}}
    summary = run(tmp_path / "a", **nothing)
    assert summary.best_step == step_in(tmp_path / "a") == 12
    summary = run(tmp_path / "b", **nothing, patience=3)
    assert (summary.steps, summary.best_step) == (8, 8)
    assert "no better than 0.000 of step 8, whose weights are in" in summary.stopped_early


def test_an_early_end_does_not_speak_of_weights_that_are_gone(tmp_path):
    run(tmp_path, **GIVEN, stop_at=10)
    os.remove(tmp_path / "best.safetensors")
    summary = go_on(tmp_path, patience=1)
    assert "no better than 0.500 of step 8. To go on" in summary.stopped_early


def test_a_failure_between_the_file_and_its_record_is_mended(tmp_path, monkeypatch):
    """The weights of step 8 are written, its record is not."""
    from minirnn.training.log import MetricsLog

    write = MetricsLog.write

    def fail(self, record):
        if record["step"] == 8:
            raise Stopped
        write(self, record)

    monkeypatch.setattr(MetricsLog, "write", fail)
    with pytest.raises(Stopped):
        run(tmp_path, **GIVEN)
    monkeypatch.setattr(MetricsLog, "write", write)
    assert go_on(tmp_path).best_step == step_in(tmp_path) == 8
