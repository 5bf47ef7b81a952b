"""The training's settings: kinds, ranges, and messages that name the field."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from minirnn.errors import InputError
from minirnn.training.settings import TrainingSettings


def test_defaults_are_valid_and_fit_into_json():
    settings = TrainingSettings(steps=10)
    again = TrainingSettings(**json.loads(json.dumps(dataclasses.asdict(settings))))
    assert again == settings


def test_values_take_the_kind_of_their_field():
    settings = TrainingSettings(
        steps=np.int64(10), learning_rate=1, milestones=[3, 5], schedule="step", clip_norm=5
    )
    assert type(settings.steps) is int
    assert type(settings.learning_rate) is float
    assert type(settings.clip_norm) is float
    assert settings.milestones == (3, 5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 0),
        ("steps", 2.5),
        ("steps", True),
        ("batch_size", 0),
        ("batch_size", 99_999_999),
        ("workers", 2**40),
        ("unreadable", -0.1),
        ("unreadable", 1.5),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("learning_rate", "0.1"),
        ("momentum", 1.0),
        ("momentum", -0.1),
        ("weight_decay", -1e-4),
        ("warmup_steps", -1),
        ("warmup_factor", 1.5),
        ("schedule", "linear"),
        ("schedule", 3),
        ("milestones", (5, 3)),
        ("milestones", (0,)),
        ("milestones", (2.5,)),
        ("milestones", 5),
        ("gamma", 0.0),
        ("gamma", 2.0),
        ("final_fraction", -0.1),
        ("clip_norm", -1.0),
        ("flip", 1.1),
        ("crop", 0.0),
        ("crop", 1.1),
        ("focus", 1.1),
        ("min_visible", -0.1),
        ("copy_paste", 1.1),
        ("copy_paste_scale", (2.0, 0.5)),
        ("zoom", 0.5),
        ("zoom", (0.5,)),
        ("zoom", (2, 0.5)),
        ("zoom", (0.0, 1)),
        ("zoom", (1, 11)),
        ("colour", -0.1),
        ("colour", 1.5),
        ("seed", -1),
        ("seed", None),
        ("checkpoint_every", 0),
        ("log_every", 0),
        ("workers", -1),
        ("timeout", 0.0),
    ],
)
def test_a_bad_value_is_refused_by_name(name, value):
    with pytest.raises(InputError, match=rf"^{name} is .*; it should be "):
        TrainingSettings(**{"steps": 10, name: value})
    with pytest.raises(InputError, match=rf"^{name} is "):
        TrainingSettings(steps=10).replace(**{name: value})


def test_schedule_step_needs_milestones():
    with pytest.raises(InputError, match="milestones"):
        TrainingSettings(steps=10, schedule="step")


def test_every_number_has_a_range():
    """A new field without a check of its range would take any value."""
    from minirnn.training.settings import _LEAST

    numbers = {f.name for f in dataclasses.fields(TrainingSettings) if f.type in ("int", "float")}
    assert numbers == set(_LEAST)


def test_replace_changes_one_field_and_suggests_names():
    settings = TrainingSettings(steps=10)
    assert settings.replace(momentum=0.5) == TrainingSettings(steps=10, momentum=0.5)
    with pytest.raises(InputError, match=r"no field 'learningrate'; did you mean learning_rate"):
        settings.replace(learningrate=0.1)
