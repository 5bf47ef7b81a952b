"""Weights from a file into a network, and the network that a file of weights belongs to."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from minirnn.errors import InputError
from minirnn.files.finite import check_finite
from minirnn.models import PRESETS, RCNN, Config, detector
from minirnn.models.build import in_words
from minirnn.weights.comparison import Comparison
from minirnn.weights.files import WeightsFile, read_weights
from minirnn.weights.names import as_backbone, classifier_of
from minirnn.weights.recognise import (
    CONVENTIONS,
    differing_conventions,
    resnet_depth,
    torchvision_config,
)

SHOWN = 20  # lines of each kind in an error
#: What a network for classification was trained with: the presets that say so, and the fields.
_CLASSIFIER_CONVENTIONS = {
    "ResNet": (
        "maskrcnn_resnet50_fpn",
        ("norm", "image_mean", "image_std", "bgr", "stride_in_1x1"),
    ),
    "EfficientNet-Lite0": (
        "maskrcnn_efficientnet_lite0_fpn",
        ("norm", "image_mean", "image_std", "bgr", "norm_eps"),
    ),
}


def load_weights(model: RCNN, path: str | os.PathLike[str], *, strict: bool = True) -> list[str]:
    """Put the weights of a file into a model.

    A ResNet or EfficientNet-Lite0 for classification goes into `backbone.body` (and, where the heads have
    a trunk, its last stage into `roi_heads.res5`), without its last layers. If the model has no names for
    its classes and the file brings them (91 classes are COCO's), it gets them.

    Args:
        model: on any device; its arrays keep their dtype.
        path: torchvision's Mask, Faster or Keypoint R-CNN or ResNet (.pth in both formats, present or
            old names), EfficientNet-Lite0, .safetensors, or a checkpoint of ours.
        strict: everything must fit, the conventions included that the weights were trained with
            (`minirnn.weights.model_from` builds a model with those). False: what fits is loaded and
            the rest left as it is, for example to go on with other classes.

    Returns:
        What was left out or does not fit, one line each. If strict, that is at most the last layers
        of a network for classification.

    Raises:
        InputError: the file cannot be read (see `read_weights`); strict, and something does not fit
            (lists it); nothing fits; or an array holds NaN or infinite numbers (names it). The model
            is unchanged then.
    """
    file = read_weights(path)
    expected = _conventions_of(file)
    differing = differing_conventions(expected, model.config)
    found = _load(model, file, differing, strict=strict)
    names = expected.get("categories", ())
    if not model.config.categories and len(names) == model.config.num_classes - 1:
        model.config = model.config.replace(categories=names)
    left_out = [f"left out: {name} (tells ImageNet's classes apart)" for name in found.classifier]
    return left_out + [line for group in found.lines(differing) for line in group]


def start_from(model: RCNN, path: str | os.PathLike[str]) -> list[str]:
    """Put what fits of a file into a model that is going to be trained, on other classes or not.

    Args:
        model: with fresh weights.
        path: as in `load_weights`.

    Returns:
        Three lines for a person: what was loaded, what was left out and why, what starts fresh. After
        them one for each convention that the weights were trained with and the model does otherwise.
        Categories of other names start fresh, also where there are as many of them.

    Raises:
        InputError: as `load_weights` with strict=False; or the file leaves parts of the backbone fresh
            that training would not change. The model is unchanged then.
    """
    file = read_weights(path)
    expected = _conventions_of(file)
    there, here = (
        [name for _, name in categories or ()]
        for categories in (expected.get("categories"), model.config.categories)
    )
    anew = bool(there and here) and there != here
    if anew:
        del expected["categories"]  # the three lines say so
    differing = differing_conventions(expected, model.config)
    found = _load(model, file, differing, strict=False, anew=anew, training=True)
    return [*found.sentences(model), *differing]


def model_from(path: str | os.PathLike[str], **overrides: Any) -> RCNN:
    """The network that a file of weights belongs to, with these weights, on the CPU.

    A checkpoint of ours holds its configuration. For torchvision's detectors it follows from
    names and shapes, and torchvision's conventions come with it, see `torchvision_config`.

    Args:
        path: as in `load_weights`.
        **overrides: fields of `Config` that the file cannot tell, or that should differ:
            `box_score_threshold=0.5`, or `norm_eps=0.0` for a network of your own that was
            fine-tuned from torchvision's COCO checkpoint.

    Raises:
        InputError: the file cannot be read, holds no whole detector, or does not fit the
            configuration; names the file.
    """
    return model_of(read_weights(path), **overrides)


def model_of(file: WeightsFile, **overrides: Any) -> RCNN:
    """`model_from` for a file that was read already."""
    model = detector(config_of(file, **overrides), np.random.default_rng(0))
    _load(model, file, [], strict=True)
    return model


def config_of(file: WeightsFile, **overrides: Any) -> Config:
    """The configuration of the network that a file holds the weights of.

    Raises:
        InputError: it holds no whole detector that can be built here; names the file.
    """
    try:
        if file.config is not None:
            return Config().replace(**file.config).replace(**overrides)
        if (kind := classifier_of(file.arrays)) is not None:
            eps = "norm_eps=1e-5, " if kind == "ResNet" else ""
            raise InputError(
                f"it is a {kind} for classification, a backbone only; build the detector with "
                f"build_model(NAME, {eps}num_classes=…), then load_weights(model, path)"
            )
        return torchvision_config(file.shapes, trained_norm=file.norm_was_trained, **overrides)
    except InputError as error:
        raise InputError(f"{file.path}: {error}") from error


def network_of(file: WeightsFile) -> str:
    """In words what a file holds the weights of."""
    try:
        config = config_of(file)
    except InputError as error:
        if classifier_of(file.arrays):
            return _classifier_in_words(file)
        return f"no detector that can be built here ({str(error).removeprefix(f'{file.path}: ')})"
    return in_words(config)


def _classifier_in_words(file: WeightsFile) -> str:
    if classifier_of(file.arrays) == "EfficientNet-Lite0":
        return "EfficientNet-Lite0 for classification"
    body, _ = as_backbone(file.shapes)
    try:
        return f"ResNet-{resnet_depth(body)} for classification"
    except InputError:
        return "a ResNet for classification, of a depth that is not known here"


def _conventions_of(file: WeightsFile) -> dict[str, Any]:
    """The conventions that are certain to belong to the weights; empty if nothing is known."""
    try:
        config = config_of(file)
    except InputError:
        kind = classifier_of(file.arrays)
        if kind is None:
            return {}
        preset, fields = _CLASSIFIER_CONVENTIONS[kind]
        return {name: PRESETS[preset][name] for name in fields}
    known = {name: config[name] for name in CONVENTIONS}
    if file.config is None and config["norm_eps"] and not file.norm_was_trained:
        # Other classes on a frozen norm: 0 if it began from COCO's weights, 1e-5 if from ImageNet's.
        del known["norm_eps"]
    return known


def _load(
    model: RCNN,
    file: WeightsFile,
    problems: list[str],
    *,
    strict: bool,
    anew: bool = False,
    training: bool = False,
) -> Comparison:
    """Compare names, shapes and dtypes, and load what fits; `problems` are known before.

    `anew` leaves out what tells the categories apart; `training` refuses what would stay fresh.
    """
    found = Comparison.of(model, file)
    found = found.without_classes() if anew else found
    groups = found.lines(problems)
    if not found.fitting or (strict and any(groups)):
        raise InputError(_refusal(file, groups, nothing=not found.fitting))
    if training and (stuck := found.stuck(model)):
        raise InputError(_stuck(file, model.config, stuck))
    check_finite(file.path, found.fitting)
    model.load_state_dict(found.fitting, strict=False)
    return found


def _stuck(file: WeightsFile, config: Config, stuck: dict[str, list[str]]) -> str:
    """Why a network cannot be trained from the file, whose frozen parts it does not bring."""
    backbone, count = config.backbone, sum(map(len, stuck.values()))
    frozen = backbone.norm == "frozen_batch_norm"
    ways = ["norm=group_norm"] * frozen + ["frozen_stages=0"] * bool(backbone.frozen_stages)
    imagenet = ", or --weights imagenet" if frozen and backbone.name != "small" else ""
    return (
        f"{file.path} lacks {count} arrays of this network's backbone that training would leave as they "
        f"were drawn ({' and '.join(stuck)}), such as {next(iter(stuck.values()))[0]}. Give weights with "
        f"the backbone {backbone.name} and {backbone.norm}{imagenet}; or let all of it be trained: "
        + " ".join(f"--set {way}" for way in ways)
    )


def _refusal(file: WeightsFile, groups: list[list[str]], *, nothing: bool) -> str:
    shown = []
    for group in groups:
        shown += group[:SHOWN]
        if len(group) > SHOWN:
            kind = group[0].partition(":")[0]
            shown.append(f"{kind}: {len(group) - SHOWN} more")
    listing = "\n  ".join(shown)
    if nothing:
        return f"{file.path} has nothing in common with the model:\n  {listing}"
    return (
        f"{file.path} does not fit the model:\n  {listing}\n"
        "load_weights(model, path, strict=False) loads what fits and leaves the rest as it is; "
        "minirnn.weights.model_from(path) builds the model that the file belongs to"
    )
