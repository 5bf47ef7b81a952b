"""Presets that are more than a network: how it is trained, and what it starts from.

A network's preset (`minirnn.models.PRESETS`) says what is built. Some say as much about how it should be
trained, since one without the other does not come out well; they are listed here under the same name.
`docs/few-photographs.md` says what each choice gave.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from minirnn.training.settings import TrainingSettings

STEPS = 1000  # where neither a person nor a recipe says how many


@dataclass(frozen=True)
class Recipe:
    """How a preset's network is trained.

    Attributes:
        settings: those fields of `TrainingSettings` that are not the default.
        weights: what it starts from, see `minirnn train --weights`; None for fresh weights.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    weights: str | None = None


RECIPES: dict[str, Recipe] = {
    # Fifty photographs, two cores, less than an hour.
    "maskrcnn_few_photographs": Recipe(
        settings={
            "steps": 900,
            "batch_size": 2,
            # Its steps are as long for the backbone, which knows much, as for the fresh heads: so short.
            "optimiser": "adamw",
            "learning_rate": 3e-4,
            "weight_decay": 0.05,
            "warmup_steps": 50,
            "averaging": 0.98,
            # Without these the network knows its photographs by heart after 300 steps.
            "zoom": (0.5, 2.0),
            "focus": 0.5,
            "min_visible": 0.3,
            "copy_paste": 0.5,
            "colour": 0.4,
        },
        weights="imagenet",
    ),
    # The demo's harder level: as many minutes as the network from scratch had.
    "maskrcnn_textured_shapes": Recipe(
        settings={
            "steps": 450,
            "optimiser": "adamw",
            "learning_rate": 5e-4,
            "weight_decay": 0.05,
            "warmup_steps": 50,
        },
        weights="imagenet",
    ),
}


def settings_of(preset: str | None, **overrides: Any) -> TrainingSettings:
    """The settings of the training that goes with a preset.

    Args:
        preset: its name; one without a recipe has the defaults.
        overrides: fields to change; where neither they nor a recipe say how many `steps`, there are 1000.

    Raises:
        InputError: a name is no field, or a value does not fit.
    """
    recipe = RECIPES.get(preset or "", Recipe())
    return TrainingSettings(steps=STEPS).replace(**recipe.settings | overrides)
