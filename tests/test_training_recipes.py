"""Presets that say how they are trained: the command takes over all of it, and lets each be changed."""

from __future__ import annotations

import pytest

from minirnn.errors import InputError
from minirnn.models import PRESETS
from minirnn.training.recipes import RECIPES, STEPS, settings_of
from minirnn.training.settings import TrainingSettings


def test_every_recipe_is_of_a_preset():
    assert RECIPES.keys() <= PRESETS.keys()


@pytest.mark.parametrize("preset", RECIPES)
def test_a_recipe_sets_fields_that_there_are_to_what_is_not_the_default(preset):
    recipe, defaults = RECIPES[preset], TrainingSettings(steps=1)
    settings = settings_of(preset)
    for name, value in recipe.settings.items():
        assert getattr(settings, name) == value, name
        assert getattr(defaults, name) != value, f"{name} is the default"


def test_what_a_person_sets_comes_before_the_recipe():
    preset = next(iter(RECIPES))
    settings = settings_of(preset, steps=7, optimiser="sgd")
    assert (settings.steps, settings.optimiser) == (7, "sgd")
    assert settings.replace(**RECIPES[preset].settings) == settings_of(preset)


def test_a_preset_without_a_recipe_is_trained_as_ever():
    assert settings_of("maskrcnn_shapes") == TrainingSettings(steps=STEPS)
    assert settings_of(None, steps=3) == TrainingSettings(steps=3)


def test_what_is_no_setting_is_refused():
    with pytest.raises(InputError, match="learning_rate"):
        settings_of("maskrcnn_shapes", learning_rat=0.1)
