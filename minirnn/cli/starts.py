"""What a training starts from: nothing, where that can work, or ImageNet's weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minirnn.errors import InputError
from minirnn.fields import suggestion

if TYPE_CHECKING:
    from minirnn.data import CocoDataset
    from minirnn.models import RCNN, Config

NONE = "none"  # what `--weights` is called where fresh weights are wanted


def fresh_network(
    preset: str,
    fields: dict[str, Any],
    dataset: CocoDataset,
    seed: int,
    weights: Path | None,
    say: Callable[[str], None],
) -> RCNN:
    """A network for the data set's categories, with weights or fresh.

    Args:
        preset: its name.
        fields: of the configuration, that were set.
        dataset: gives the classes, and the number of keypoints.
        seed: of the fresh weights.
        weights: a file, "imagenet", or None.
        say: prints a line for a person: what was loaded, and what was not.

    Raises:
        InputError: the weights cannot be loaded, or there are none and the network could not learn.
        click.BadParameter: a field is set that the data set gives.
    """
    from minirnn.models import build_model
    from minirnn.weights import IMAGENET, start_from

    config = config_of(preset, fields, None)
    more: dict[str, Any] = {}
    if weights is None:
        check_can_start_fresh(config)
    elif not weights.exists() and not is_imagenet(weights):
        hint = suggestion(str(weights), [IMAGENET])
        raise InputError(f"{weights}: there is no such file{hint}")
    elif is_imagenet(weights):
        weights, more = imagenet_weights(config)
        fields = {**more, **fields}
    own: dict[str, Any] = {
        "num_classes": len(dataset.categories) + 1,
        "categories": tuple(dataset.categories),
    }
    if dataset.keypoint_names is not None:
        own["keypoint_count"] = len(dataset.keypoint_names)
    for name in own.keys() & fields.keys():
        raise click.BadParameter(f"{name} is given by the data set", param_hint="--set")
    model = build_model(preset, seed=seed, **fields, **own)
    if weights is not None:
        lines = start_from(model, weights)
        say(f"{weights}:")
        for line in lines:
            say(f"  {line}")
        brought = {name: value for name, value in more.items() if model.config[name] == value}
        if brought:
            listed = ", ".join(f"{name} = {value}" for name, value in brought.items())
            say(f"  set as these weights need it: {listed}")
    return model


def weights_for(preset: str, weights: Path | None) -> Path | None:
    """What `--weights` means: a preset that has a recipe brings its own, which "none" declines."""
    from minirnn.training.recipes import RECIPES

    if weights is not None:
        return None if str(weights) == NONE and not weights.exists() else weights
    own = RECIPES[preset].weights if preset in RECIPES else None
    return Path(own) if own else None


def config_of(
    preset: str | None, fields: dict[str, Any], stored: Mapping[str, Any] | None
) -> Config:
    """The network's configuration: a stored run's, or a preset's, with the fields that were given."""
    from minirnn.models import Config, preset_named

    if stored:
        return Config().replace(**stored["config"]).replace(**fields)
    return preset_named(preset).replace(**fields)


def check_can_start_fresh(config: Config) -> None:
    """Refuse a network that learns nothing from fresh weights.

    Raises:
        InputError: its normalisation is frozen, and has no statistics to be frozen at.
    """
    if config.backbone.norm == "frozen_batch_norm":
        raise InputError(
            "this network cannot learn from fresh weights: its normalisation is frozen "
            "(frozen_batch_norm), and only weights bring the statistics that it is frozen at. Add "
            "--weights imagenet, or --weights FILE; or, to train from scratch, "
            "--set norm=group_norm --set frozen_stages=0"
        )
    if config.backbone.frozen_stages:
        raise InputError(
            f"frozen_stages is {config.backbone.frozen_stages}, and without --weights these stages would "
            "stay as they were drawn; add --set frozen_stages=0, or --weights FILE"
        )


def is_imagenet(weights: Path) -> bool:
    """Whether `--weights` asks for ImageNet's, and names no file of that name."""
    from minirnn.weights import IMAGENET

    return str(weights) == IMAGENET and not weights.exists()


def imagenet_weights(config: Config) -> tuple[Path, dict[str, Any]]:
    """The file for a configuration's backbone, fetched if need be, and the fields that go with it.

    Raises:
        InputError: there is none, or it has no place in this network; see `minirnn.weights.imagenet_file`.
    """
    from minirnn.progress import bytes_bar
    from minirnn.weights import imagenet_file
    from minirnn.weights.imagenet import conventions_of

    fields = conventions_of(config)
    with bytes_bar(config.backbone.name) as progress:
        return imagenet_file(config.backbone.name, progress=progress), fields
