"""A batch in turns: the gradient of all its images, in the memory of some."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from test_model import TINY
from test_training_team import apart, batch_of, gradients_of, model_of, rngs_of

from minirnn.data.sample import Sample
from minirnn.errors import InputError
from minirnn.training import TrainingSettings, read_checkpoint, train
from minirnn.training.turns import Turns

assert TINY  # the small network of `model_of`


def by_hand(model, images, targets, turns):
    """Losses and gradients of each turn, weighted by its images and added up."""
    rngs, total, gradients = rngs_of(len(images)), {}, {}
    for turn in turns:
        share = len(turn) / len(images)
        model.zero_grad()
        terms = model.losses(*([of[i] for i in turn] for of in (images, targets, rngs)))
        sum(terms.values(), start=0.0).backward()
        for name, term in terms.items():
            total[name] = total.get(name, 0.0) + share * float(term)
        for name, gradient in gradients_of(model).items():
            if gradient is not None:
                gradients[name] = gradients.get(name, 0.0) + share * gradient
    return total, gradients


@pytest.mark.parametrize(
    ("count", "turns"), [(2, [[0, 1, 2], [3, 4]]), (5, [[0], [1], [2], [3], [4]])]
)
def test_the_gradient_is_the_mean_over_the_turns(count, turns):
    images, targets = batch_of(5)
    model, other = model_of(), model_of()
    losses, gradients = by_hand(other, images, targets, turns)
    in_turns = Turns(model, count)
    rng = np.random.default_rng(0)
    found = in_turns.losses(images, targets, in_turns.streams(rng, 5), True)
    in_turns.backward()
    assert found == pytest.approx(losses, rel=1e-6)
    assert in_turns.counts["positive_anchors"][0] > 0
    for name, gradient in gradients_of(model).items():
        if gradient is not None:
            assert apart(gradient, gradients[name]) < 1e-5, name


def test_the_memory_of_one_turn_is_enough():
    images, targets = batch_of(8)
    peaks = []
    for count in (1, 8):
        model = model_of()
        turns = Turns(model, count)
        tracemalloc.start()
        turns.losses(images, targets, rngs_of(8))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] / 3


class Scenes:
    """A data set of eight scenes."""

    def __init__(self):
        self.samples = [Sample(*pair) for pair in zip(*batch_of(8), strict=True)]

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.samples[index]


def run(folder, **changes):
    stop, resume = changes.pop("stop_at", None), changes.pop("resume", False)
    settings = TrainingSettings(**{"steps": 4, "batch_size": 4, "workers": 0, **changes})
    how = {"progress": False, "stop_at": stop, "resume": resume}
    return train(model_of(), Scenes(), settings, folder, **how)


def test_a_run_in_turns_goes_on_where_it_was(tmp_path):
    run(tmp_path / "whole", turns=2)
    run(tmp_path / "parts", turns=2, stop_at=2)
    run(tmp_path / "parts", turns=2, resume=True)
    whole, parts = (
        read_checkpoint(tmp_path / name / "checkpoint.safetensors")[0]
        for name in ("whole", "parts")
    )
    for name, array in whole.items():
        assert parts[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"turns": 5}, "turns is 5, but a batch has 4 images"),
        ({"turns": 2, "processes": 2}, "turns is 2, but the batch is shared out"),
        ({"turns": 0}, "turns is 0; it should be at least 1"),
    ],
)
def test_turns_that_cannot_be_are_refused(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        run(tmp_path, **changes)
