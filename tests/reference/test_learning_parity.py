"""The demo's network in torchvision: the same function, and a training that goes the same way."""

from __future__ import annotations

import numpy as np
import pytest

from minirnn.data import CocoDataset, generate
from minirnn.data.loader import Loader
from minirnn.training.optimiser import SGD, clip_gradients
from minirnn.training.schedule import learning_rate
from minirnn.training.settings import TrainingSettings
from minirnn.verify import parity_learning
from minirnn.verify.learning_model import build_learning_pair
from minirnn.verify.parity_learning import learning_parity, train_torchvision
from minirnn.verify.parity_rows import Comparison
from minirnn.verify.parity_training import (
    LOSSES,
    SMALLEST_GRADIENT,
    both_losses,
    distance,
    length_of,
)

pytestmark = pytest.mark.reference


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    generate(folder, level="easy", train=8, val=4, seed=3)
    return CocoDataset.from_folder(folder, "train")


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    generate(folder, level="people", train=4, val=2, seed=3)
    return CocoDataset.from_folder(folder, "train", keypoints=True)


@pytest.mark.parametrize(
    ("level", "head"), [("easy", "mask"), ("people", "keypoint")], ids=["masks", "keypoints"]
)
def test_the_two_networks_are_one_function(level, head, request):
    pictures = request.getfixturevalue("people" if level == "people" else "pictures")
    reference, model = build_learning_pair(5, parity_learning.LEVELS[level].preset)
    reference.double()  # so that no ReLU stands on the other side of its kink
    model.astype("float64")
    samples = [pictures[i] for i in range(4)]
    if level == "people":
        # Off whole pixels: torch divides 56 / w as 56 · (1 / w), and so puts a point that is just on the
        # edge of two cells (10 pixels into a box of 35: 16 cells) into the one before.
        for sample in samples:
            sample.target.keypoints[..., :2] += 0.3
    comparison = Comparison("torchvision")
    theirs, ours = both_losses(comparison, reference, model, samples)
    assert head in ours
    for name, loss in ours.items():
        assert float(loss) == pytest.approx(float(theirs[LOSSES[name]].item()), rel=1e-6), name
    sum(theirs.values()).backward()
    total = sum(ours.values(), start=0.0)
    total.backward()
    own, least = dict(model.named_parameters()), SMALLEST_GRADIENT * length_of(reference)
    for name, parameter in reference.named_parameters():
        assert distance(own[name].grad, parameter.grad.numpy(), least)[1] < 1e-5, name
    assert all(row.agrees for row in comparison.rows)


def test_every_step_changes_as_ours_does(pictures):
    """Decay, momentum, warm-up: with one image and no choice in sampling the steps are the same."""
    settings = TrainingSettings(
        steps=3, batch_size=1, learning_rate=0.01, warmup_steps=2, seed=1, clip_norm=3
    )
    everything = {"rpn_samples": 100_000, "rpn_positive_fraction": 1.0, "roi_samples": 100_000,
                  "roi_positive_fraction": 1.0}  # fmt: skip
    reference, model = build_learning_pair(1, **everything)
    theirs = train_torchvision(reference, pictures, settings)
    ours = []
    optimiser = SGD(model)
    for step, batch in enumerate(Loader(pictures, 1, steps=3, seed=1)):
        model.zero_grad()
        terms = model.losses([s.image for s in batch], [s.target for s in batch])
        total = sum(terms.values(), start=0.0)
        total.backward()
        assert clip_gradients(optimiser.parameters(), 3) > 3
        optimiser.step(learning_rate(step, settings))
        ours.append(float(total))
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)


@pytest.mark.parametrize(("level", "kind"), [("easy", "segm"), ("people", "keypoints")])
def test_a_comparison_that_was_stopped_goes_on(level, kind, tmp_path, monkeypatch):
    sizes = {"steps": 1, "batch_size": 1, "train_images": 2, "val_images": 2}
    arguments = {"level": level, **sizes}
    rows = learning_parity(tmp_path, [4], **arguments)
    assert [(row.stage, row.name) for row in rows] == [
        *(("bbox AP", "seed 4"), ("bbox AP", "mean")),
        *((f"{kind} AP", "seed 4"), (f"{kind} AP", "mean")),
    ]

    def refuse(*_: object) -> None:
        raise AssertionError("a run was made twice")

    monkeypatch.setattr(parity_learning, "build_learning_pair", refuse)
    again = learning_parity(tmp_path, [4], **arguments)
    assert [row.as_dict() for row in again] == [row.as_dict() for row in rows]


def test_means_that_differ_are_a_miss():
    runs = {
        "minirnn": [{"bbox": 0.60, "segm": 0.50}, {"bbox": 0.64, "segm": 0.50}],
        "torchvision": [{"bbox": 0.60, "segm": 0.51}, {"bbox": 0.58, "segm": 0.52}],
    }
    tolerances = parity_learning.LEVELS["easy"].tolerances
    verdicts = {
        (r.stage, r.name): r.agrees for r in parity_learning._rows([0, 1], runs, tolerances)
    }
    assert not verdicts["bbox AP", "mean"]
    assert verdicts["segm AP", "mean"]
    assert verdicts["bbox AP", "seed 1"]  # one run alone decides nothing
