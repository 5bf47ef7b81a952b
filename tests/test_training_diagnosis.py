"""What a run says of itself: the usual failures each provoked, the best weights kept, an early end."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standin import counted, standin
from test_model import TINY, scene
from test_training_loop import Spoiled, Stopped, TinyModel, make_settings, metrics, outcome, run

from minirnn import boxes
from minirnn.data.sample import Target
from minirnn.errors import DivergenceError, InputError
from minirnn.heads.regions import SampledRois
from minirnn.models import build_model
from minirnn.progress import loss_text
from minirnn.record import note, recording
from minirnn.training import TrainingSettings, read_checkpoint
from minirnn.training.best import Best, main_score
from minirnn.training.diagnosis import Diagnosis, sign_of
from minirnn.training.shares import HEARD, added, counts_of, shares_of
from minirnn.training.team import Team
from minirnn.training.whole import Whole


def record(step, total=1.0, *, norm=1.0, rate=0.01, ap=None, size=20.0, **shares):
    made = {"step": step, "total": total, "gradient_norm": norm, "learning_rate": rate}
    usual = {
        "positive_anchors": 0.2,
        "positive_regions": 0.2,
        "objects_with_anchor": 1.0,
        "objects_missed": 0.1,
    }
    made["shares"] = usual | shares
    made["sizes"] = {"anchors": [32.0, 512.0]} | ({"objects": size} if size else {})
    if ap is not None:
        made["evaluation"] = {"bbox": {"AP": ap}}
    return made


def signs_of(records, **changes):
    diagnosis = Diagnosis(TrainingSettings(steps=1000, warmup_steps=0, **changes))
    return [(r["step"], sign) for r in records for sign in diagnosis.add(r)]


def falling(step):
    return 3 / (1 + step / 50) + 0.1


# ------------------------------------------------------------- each failure, provoked

FAILURES = {
    "no objects": [record(k, falling(k), size=None) for k in range(1, 40)],
    "anchors": [record(k, falling(k), objects_with_anchor=0.1, size=9.0) for k in range(1, 40)],
    "no positives": [record(k, falling(k), positive_anchors=0.0) for k in range(1, 40)],
    "learning rate": [record(k, falling(k), rate=1e-12) for k in range(1, 40)],
    "no gradient": [record(k, 1.0, norm=0.0) for k in range(1, 40)],
    "explosion": [record(k, falling(k)) for k in range(1, 100)]
    + [record(k, falling(100) + (k - 99), norm=3.0 ** (k - 99)) for k in range(100, 107)],
    "flat loss": [record(k, 2 + 0.1 * (k % 3)) for k in range(1, 300)],
    "background": [record(k, falling(k), objects_missed=1.0) for k in range(1, 300)],
    "overfitting": [
        record(k, falling(k), ap=[0.1, 0.4, 0.38, 0.35, 0.3][k // 20 - 1] if k % 20 == 0 else None)
        for k in range(1, 101)
    ],
}


@pytest.mark.parametrize("name", FAILURES)
def test_each_failure_is_named_once_in_words_with_what_to_try(name):
    found = signs_of(FAILURES[name])
    assert [sign.name for _, sign in found] == [name]
    (_, sign) = found[0]
    assert "--" in sign.advice
    assert sign.text.endswith(".")
    assert sign.advice.endswith(".")


def test_numbers_stand_in_the_text():
    (_, sign) = signs_of(FAILURES["anchors"])[0]
    assert "10% of the objects" in sign.text
    assert "32 to 512 px" in sign.text
    assert "around 9 px" in sign.text
    (_, sign) = signs_of(FAILURES["overfitting"])[0]
    assert "box AP on the others fell from 0.400 (step 40) to 0.350" in sign.text
    (step, sign) = signs_of(FAILURES["flat loss"])[0]
    assert (step, "after 200 steps" in sign.text) == (200, True)


def test_a_loss_that_has_run_away_before_there_is_anything_to_compare_with():
    """With a rate of 30 from the first step on, gradients do not grow any more: they are lost already."""
    lost = [record(1, 3.4, norm=28.0)]
    lost += [record(k, [8e7, 4e16, 2e9][k % 3], norm=[7e8, 6e14, 1e9][k % 3]) for k in range(2, 40)]
    ((step, sign),) = signs_of(lost)
    assert (step, sign.name) == (5, "explosion")
    assert "began with 3.4, and is around" in sign.text


def test_a_first_loss_near_nothing_is_no_explosion():
    """A fine-tuned network, and a first image that has nothing to learn from."""
    assert signs_of([record(1, 0.01)] + [record(k, falling(k)) for k in range(2, 60)]) == []


def test_one_bad_step_is_no_explosion():
    records = [record(k, 3e5 if k % 25 == 10 else falling(k)) for k in range(1, 40)]
    assert signs_of(records) == []


def test_anchors_of_which_none_is_drawn_are_not_matched():
    """All of them reach beyond the image, and rpn_drop_outside drops those."""
    records = [record(k, falling(k)) for k in range(1, 40)]
    for each in records:
        del each["shares"]["positive_anchors"]
    assert [sign.name for _, sign in signs_of(records)] == ["no positives"]
    for each in records:  # a network that is given its proposals has no anchors
        del each["sizes"]["anchors"]
    assert signs_of(records) == []


@pytest.mark.parametrize(
    ("value", "text"), [(1.4321, "1.432"), (9999.5, "9999.500"), (1.64e23, "1.64e+23")]
)
def test_a_loss_is_a_few_characters(value, text):
    assert loss_text(value) == text


def test_every_check_is_provoked():
    from minirnn.training.diagnosis import _CHECKS

    assert set(FAILURES) == set(_CHECKS)


def test_a_run_that_learns_has_no_sign():
    rng = np.random.default_rng(0)
    noisy = [
        record(
            k,
            falling(k) * float(rng.uniform(0.7, 1.3)),
            norm=float(rng.lognormal(0, 0.7)),
            objects_missed=1.0 if k < 150 else 0.3,
            ap=0.4 * k / 600 if k % 100 == 0 else None,
        )
        for k in range(1, 601)
    ]
    assert signs_of(noisy) == []


def test_the_warm_up_is_waited_for():
    records = FAILURES["flat loss"]
    slow = Diagnosis(TrainingSettings(steps=1000, warmup_steps=200))
    assert not [sign for r in records for sign in slow.add(r)]


@given(st.sampled_from(sorted(FAILURES)), st.integers(0, 300))
def test_a_run_that_goes_on_says_what_it_would_have_said(name, cut):
    """And nothing twice: what stands in the records counts as named."""
    records = [dict(r) for r in FAILURES[name]]
    expected = signs_of(records)
    first = Diagnosis(TrainingSettings(steps=1000, warmup_steps=0))
    found = []
    for r in records[:cut]:
        signs = first.add(r)
        found += [(r["step"], sign) for sign in signs]
        if signs:
            r["signs"] = [sign.as_dict() for sign in signs]
    second = Diagnosis(TrainingSettings(steps=1000, warmup_steps=0))
    for r in json.loads(json.dumps(records[:cut])):
        second.add(r)
    found += [(r["step"], sign) for r in records[cut:] for sign in second.add(r)]
    assert found == expected


def test_a_loss_that_is_no_number_is_named(tmp_path):
    with pytest.raises(DivergenceError) as caught:
        run(tmp_path, model=Spoiled(7, np.nan, "loss"))
    sign = sign_of(caught.value)
    assert sign.name == "not finite"
    assert "mask, step 7" in sign.text
    assert "--learning-rate" in sign.advice
    assert "picture" in sign.advice
    assert "--learning-rate" in str(caught.value)


# ------------------------------------------------------------- in a run


def test_a_sign_is_printed_and_recorded_once(tmp_path, capsys):
    run(tmp_path, steps=30, learning_rate=1e-12, progress=True)
    assert capsys.readouterr().err.count("look at this: The learning rate is") == 1
    (with_sign,) = [r for r in metrics(tmp_path) if "signs" in r]
    assert (with_sign["step"], with_sign["signs"][0]["name"]) == (10, "learning rate")


class Noting(TinyModel):
    """Notes what the stages of a network would, of one object of 9 × 9 pixels."""

    anchor, matched, missed, crowd = 9.0, 1, 0, False

    def losses(self, images, targets, rng):
        box = np.array([[10.0, 10.0, 19.0, 19.0]], np.float32)
        truth = Target(box, np.ones(1, np.intp), None, np.array([self.crowd]))
        regions = SampledRois(np.repeat(box, 4, axis=0), np.array([1, 0, 0, 0]), np.zeros(4), 1)
        note("truth", [truth])
        note("anchors", [np.array([[0, 0, self.anchor, self.anchor]], np.float32)])
        note("sampled_anchors", [(np.arange(self.matched), np.arange(8))])
        note("proposals", [box])
        note("sampled_regions", [regions])
        note("taken_for_background", np.arange(4) >= 1 - self.missed)
        return super().losses(images, targets, rng)


class Still(TinyModel):
    """Its gradient is 0, as with everything frozen."""

    def losses(self, images, targets, rng):
        return {name: term * 0.0 for name, term in super().losses(images, targets, rng).items()}


class Growing(TinyModel):
    """Its losses and gradients get twice as large with each step from the 25th on."""

    calls = 0

    def losses(self, images, targets, rng):
        self.calls += 1
        scale = 2.0 ** max(self.calls - 25, 0)
        return {name: term * scale for name, term in super().losses(images, targets, rng).items()}


def model_with(**noted):
    model = Noting()
    for name, value in noted.items():
        setattr(model, name, value)
    return model


def falling_ap(step, model):
    return {"bbox": {"AP": 1 / step}}


PROVOKED = {
    "no objects": {"model": lambda: model_with(crowd=True)},
    "anchors": {"model": lambda: model_with(anchor=32.0)},
    "no positives": {"model": lambda: model_with(matched=0)},
    "learning rate": {"learning_rate": 1e-12},
    "no gradient": {"model": Still},
    "explosion": {"model": Growing, "steps": 40},
    "flat loss": {"learning_rate": 1e-7, "steps": 210},
    "background": {"model": lambda: model_with(missed=1), "steps": 210, "learning_rate": 0.2},
    "overfitting": {"callback": falling_ap, "callback_every": 10, "steps": 40},
}


@pytest.mark.parametrize("name", PROVOKED)
def test_a_run_that_fails_says_how(tmp_path, name, capsys):
    """From what the stages note to the line on the terminal, and to the record, once."""
    given = {"steps": 30, "warmup_steps": 0, "schedule": "constant", **PROVOKED[name]}
    if "model" in given:
        given["model"] = given["model"]()
    run(tmp_path, progress=True, checkpoint_every=1000, **given)
    found = [sign for r in metrics(tmp_path) for sign in r.get("signs", [])]
    assert [sign["name"] for sign in found] == [name]
    assert (
        capsys.readouterr().err.count(f"look at this: {found[0]['text']} {found[0]['advice']}") == 1
    )


@pytest.mark.parametrize("stop", [5, 10, 14])
def test_signs_and_the_best_survive_a_stop(tmp_path, stop):
    aps = {4: 0.1, 8: 0.5, 12: 0.3, 16: 0.5, 20: 0.2}

    def evaluate(step, model):
        return {"bbox": {"AP": aps[step]}}

    given = {"callback": evaluate, "callback_every": 4, "learning_rate": 1e-12, "steps": 20}
    whole = run(tmp_path / "whole", **given)
    run(tmp_path / "parts", **given, stop_at=stop)
    parts = run(tmp_path / "parts", **given, resume=True, model=TinyModel(value=9.0))
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")
    assert (parts.best_step, parts.best_score, parts.best_name) == (
        16,
        0.5,
        "box AP",
    )  # the last of equals
    assert (whole.best_step, whole.best_score) == (16, 0.5)
    best = [(tmp_path / name / "best.safetensors").read_bytes() for name in ("whole", "parts")]
    assert best[0] == best[1]


def test_the_best_weights_are_those_of_their_step(tmp_path, capsys):
    seen = {}

    def evaluate(step, model):
        seen[step] = model.weight.data.copy()
        return {"bbox": {"AP": 0.9}, "segm": {"AP": {4: 0.1, 8: 0.5, 12: 0.3}[step]}}

    summary = run(tmp_path, callback=evaluate, callback_every=4, progress=True)
    arrays, metadata = read_checkpoint(summary.best)
    np.testing.assert_array_equal(arrays["weight"], seen[8])
    assert (metadata["step"], metadata["has_optimiser"]) == (8, False)
    told = capsys.readouterr().err
    assert (
        "step 8: box AP 0.900, mask AP 0.500 (best mask AP so far: kept in best.safetensors)"
        in told
    )
    assert "step 12: box AP 0.900, mask AP 0.300 (best mask AP: 0.500 at step 8)" in told

    run(tmp_path, callback=evaluate, callback_every=4, best_by="bbox", overwrite=True)
    assert read_checkpoint(tmp_path / "best.safetensors")[1]["step"] == 12  # the last of equals


def test_patience_ends_a_run_and_more_of_it_goes_on(tmp_path, capsys):
    aps = [0.1, 0.5, 0.4, 0.3, 0.2, 0.6]

    def evaluate(step, model):
        return {"bbox": {"AP": aps[step // 2 - 1]}}

    given = {"callback": evaluate, "callback_every": 2}
    summary = run(tmp_path / "a", **given, patience=2, progress=True)
    assert summary.steps == 8
    assert "--resume and a larger --patience" in summary.stopped_early
    assert summary.stopped_early in capsys.readouterr().err
    assert read_checkpoint(summary.checkpoint)[1]["step"] == 8
    assert run(tmp_path / "a", **given, patience=2, resume=True).steps == 8  # it has waited enough
    assert run(tmp_path / "a", **given, patience=4, resume=True).stopped_early == ""
    run(tmp_path / "b", **given)
    assert outcome(tmp_path / "a") == outcome(tmp_path / "b")


def test_bad_choices_are_refused(tmp_path):
    with pytest.raises(InputError, match="best_by is 'masks'; it should be one of segm"):
        run(tmp_path, best_by="masks")
    with pytest.raises(InputError, match=r"patience \(--patience\) is -1"):
        run(tmp_path, patience=-1)
    assert not (tmp_path / "metrics.jsonl").exists()


def test_which_ap_counts():
    everything = {"bbox": {"AP": 0.1}, "segm": {"AP": 0.2}, "keypoints": {"AP": 0.3}}
    assert main_score(everything) == ("segm", 0.2)
    assert main_score(everything, "keypoints") == ("keypoints", 0.3)
    assert main_score({"bbox": {"AP": 0.1}, "segm": {"AP": None}}) == ("bbox", 0.1)
    assert main_score({"bbox": {"AP": math.nan}}) is None
    assert main_score({"AP": 0.5}) is None
    assert not Best().add(1, {"AP": 0.5})


def test_a_callback_may_return_what_it_likes(tmp_path):
    run(tmp_path, callback=lambda *_: {"AP": 0.5, "bbox": "?"}, callback_every=4)
    run(tmp_path, callback=lambda *_: [1, 2], callback_every=4, overwrite=True)
    assert metrics(tmp_path)[3]["evaluation"] == [1, 2]
    assert not (tmp_path / "best.safetensors").exists()


def test_watch_sees_each_line_once_it_is_written(tmp_path):
    seen = []

    def watch(line):
        assert metrics(tmp_path)[-1]["step"] == line["step"]
        seen.append(line["step"])

    run(tmp_path, watch=watch, log_every=5, callback=lambda *_: None, callback_every=4)
    assert seen == [5, 10, 12]


def test_an_error_of_who_watches_loses_no_step(tmp_path):
    def watch(line):
        if line["step"] == 6:
            raise Stopped

    run(tmp_path / "whole")
    with pytest.raises(Stopped):
        run(tmp_path / "parts", watch=watch)
    run(tmp_path / "parts", resume=True)
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")


def test_a_folder_with_best_weights_alone_is_a_run(tmp_path):
    (tmp_path / "best.safetensors").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"holds a run already \(best.*--resume.*--overwrite"):
        run(tmp_path)


# ------------------------------------------------------------- what is counted


def batch(count):
    images, targets = zip(*(scene(k, objects=k % 3 + 1) for k in range(count)), strict=True)
    return list(images), list(targets)


def test_counts_by_loops():
    """Each count as its name says, by the plainest loops over what the stages noted."""
    model = build_model("maskrcnn_shapes", seed=0, **TINY)
    images, targets = batch(3)
    with recording() as seen:
        model.losses(images, targets, np.random.default_rng(0))
    counts = counts_of(seen)
    drawn = sum(len(p) + len(n) for p, n in seen["sampled_anchors"])
    assert counts["positive_anchors"] == (sum(len(p) for p, _ in seen["sampled_anchors"]), drawn)
    regions = seen["sampled_regions"]
    labels = np.concatenate([r.labels for r in regions])
    assert counts["positive_regions"] == ((labels > 0).sum(), len(labels))
    said = seen["class_logits"].data.argmax(axis=1)
    assert counts["objects_missed"] == (((labels > 0) & (said == 0)).sum(), (labels > 0).sum())
    found = objects = 0
    for target, proposals in zip(seen["truth"], seen["proposals"], strict=True):
        for box in target.boxes:
            objects += 1
            found += any(boxes.iou(box[None], p[None])[0, 0] >= 0.5 for p in proposals)
    assert counts["objects_proposed"] == (found, objects)
    fitting, logs = 0, 0.0
    for target in seen["truth"]:
        for x1, y1, x2, y2 in target.boxes.astype(float):
            w, h = x2 - x1, y2 - y1
            logs += np.log2(w * h) / 2
            centred = np.array([[-w / 2, -h / 2, w / 2, h / 2]])
            best = 0.0
            for level in seen["anchors"]:
                a = level.astype(float)
                middle = (a[:, :2] + a[:, 2:]) / 2
                best = max(best, boxes.iou(centred, a - np.tile(middle, 2)).max())
            fitting += best >= 0.5
    assert counts["objects_with_anchor"] == (fitting, objects)
    assert shares_of(counts)["sizes"]["objects"] == pytest.approx(2 ** (logs / objects), abs=0.01)


def test_background_may_be_the_last_column():
    model = build_model("maskrcnn_shapes", seed=0, background_last=True, **TINY)
    with recording() as seen:
        model.losses(*batch(2), np.random.default_rng(0))
    last = seen["class_logits"].shape[1] - 1
    np.testing.assert_array_equal(
        seen["taken_for_background"], seen["class_logits"].data.argmax(axis=1) == last
    )


def test_counts_of_two_processes_are_those_of_one():
    images, targets = batch(4)
    model = build_model("maskrcnn_shapes", seed=0, **TINY)

    def seen_by(passes, counted):
        rngs = passes.streams(np.random.default_rng(3), len(images))
        return passes.losses(images, targets, rngs, counted), passes.counts

    alone, expected = seen_by(Whole(model), True)
    assert seen_by(Whole(model), False) == (alone, {})  # bit for bit: looking changes nothing
    with Team(model, 2) as team:
        _, found = seen_by(team, True)
    assert found.keys() == expected.keys()
    assert len(found) == 8
    first, second = shares_of(found), shares_of(expected)
    assert first["shares"] == second["shares"]
    assert first["sizes"]["objects"] == pytest.approx(second["sizes"]["objects"], abs=0.011)


def test_nothing_to_count_is_no_error():
    assert counts_of({}) == {}
    assert shares_of({}) == {}
    assert added([]) == {}
    model = build_model("maskrcnn_shapes", seed=0, **TINY)
    image, target = scene(0)
    target.is_crowd = np.ones(len(target.boxes), bool)
    with recording(*HEARD) as seen:
        model.losses([image], [target])
    found = shares_of(counts_of(seen))
    assert found["shares"]["positive_regions"] == 0
    assert "objects_proposed" not in found["shares"]
    assert "objects" not in found["sizes"]


def test_no_proposals_and_no_objects_are_counted():
    box, none = np.array([[0.0, 0.0, 4.0, 4.0]]), np.zeros((0, 4))
    targets = [Target(boxes, None, None, np.zeros(len(boxes), bool)) for boxes in (box, none, box)]
    counts = counts_of({"truth": targets, "proposals": [none, box, box]})
    assert counts["objects_proposed"] == (1, 2)


def test_counts_on_a_device(xp):
    model = build_model("maskrcnn_shapes", seed=0, **TINY)
    with recording(*HEARD) as seen:
        model.losses(*batch(2), np.random.default_rng(0))
    expected = counts_of(seen)
    seen["truth"] = [
        dataclasses.replace(t, boxes=xp.asarray(t.boxes), is_crowd=xp.asarray(t.is_crowd))
        for t in seen["truth"]
    ]
    for name in ("anchors", "proposals"):
        seen[name] = [xp.asarray(each) for each in seen[name]]
    for each in seen["sampled_regions"]:
        each.boxes, each.labels = xp.asarray(each.boxes), xp.asarray(each.labels)
    seen["taken_for_background"] = xp.asarray(seen["taken_for_background"])
    assert counts_of(seen) == expected
    if xp is standin:
        with counted() as work:
            counts_of(seen)
        assert (work.waits.total(), work.copies) == (1, 0), work


def test_recording_keeps_what_is_asked_for():
    with recording("a") as some:
        note("a", 1)
        note("b", lambda: pytest.fail("nobody asked"))
        with recording() as everything:
            note("b", 2)
        note("a", 3)
    assert some == {"a": 3}
    assert everything == {"b": 2}


def test_a_run_of_a_network_records_its_shares(tmp_path):
    from minirnn.data.sample import Sample
    from minirnn.training import train

    samples = [Sample(*scene(k)) for k in range(4)]
    model = build_model("maskrcnn_shapes", seed=0, **TINY)
    train(model, samples, make_settings(steps=2, batch_size=2), tmp_path, progress=False)
    for line in metrics(tmp_path):
        assert set(line["shares"]) == {
            "positive_anchors",
            "positive_regions",
            "objects_missed",
            "objects_with_anchor",
            "objects_proposed",
        }
        assert all(0 <= share <= 1 for share in line["shares"].values())
        assert set(line["sizes"]) == {"objects", "anchors"}


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_averaged_weights_are_what_is_evaluated_and_kept(tmp_path, optimiser):
    seen = []

    def evaluate(step, model):
        seen.append(model.weight.data.copy())
        return {"segm": {"AP": step / 100}}

    given = {"callback": evaluate, "callback_every": 4, "steps": 8, "optimiser": optimiser}
    given |= {"averaging": 0.75, "checkpoint_every": 3}
    whole = run(tmp_path / "whole", **given)
    np.testing.assert_array_equal(read_checkpoint(whole.averaged)[0]["weight"], seen[-1])
    np.testing.assert_array_equal(read_checkpoint(whole.best)[0]["weight"], seen[-1])
    assert (read_checkpoint(whole.checkpoint)[0]["weight"] != seen[-1]).any()

    run(tmp_path / "parts", **given, stop_at=5)
    parts = run(tmp_path / "parts", **given, resume=True, model=TinyModel(value=9.0))
    for file in ("checkpoint", "averaged", "best"):
        ours, theirs = getattr(parts, file).read_bytes(), getattr(whole, file).read_bytes()
        assert ours == theirs, file
    assert run(tmp_path / "plain", steps=2).averaged is None
