"""Weights from a file into a network, and the network that a file of weights belongs to."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from minirnn.errors import InputError
from minirnn.files.finite import check_finite
from minirnn.models import RCNN, Config, detector
from minirnn.models.build import in_words
from minirnn.weights.files import WeightsFile, read_weights
from minirnn.weights.names import BODY, TRUNK, as_backbone, is_resnet
from minirnn.weights.recognise import (
    CONVENTIONS,
    differing_conventions,
    resnet_depth,
    torchvision_config,
)

SHOWN = 20  # lines of each kind in an error
_CLASSES = "roi_heads.box_predictor.cls_score.weight"
_RESNET_CONVENTIONS = ("image_mean", "image_std", "bgr")


def load_weights(model: RCNN, path: str | os.PathLike[str], *, strict: bool = True) -> list[str]:
    """Put the weights of a file into a model.

    A ResNet for classification goes into `backbone.body` (and, where the heads have a trunk, its last
    stage into `roi_heads.res5`), without its last layer. If the model has no names for its classes and
    the file brings them (91 classes are COCO's), it gets them.

    Args:
        model: on any device; its arrays keep their dtype.
        path: torchvision's Mask, Faster or Keypoint R-CNN or ResNet (.pth in both formats, present or
            old names), .safetensors, or a checkpoint of ours.
        strict: everything must fit, the conventions included that the weights were trained with
            (`minirnn.weights.model_from` builds a model with those). False: what fits is loaded and
            the rest left as it is, for example to go on with other classes.

    Returns:
        What was left out or does not fit, one line each. If strict, that is at most the last layer
        of a ResNet.

    Raises:
        InputError: the file cannot be read (see `read_weights`); strict, and something does not fit
            (lists it); nothing fits; or an array holds NaN or infinite numbers (names it). The model
            is unchanged then.
    """
    file = read_weights(path)
    expected = _conventions_of(file)
    left_out = _load(model, file, differing_conventions(expected, model.config), strict=strict)
    names = expected.get("categories", ())
    if not model.config.categories and len(names) == model.config.num_classes - 1:
        model.config = model.config.replace(categories=names)
    return left_out


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
        if is_resnet(file.arrays):
            raise InputError(
                "it is a ResNet for classification, a backbone only; build the detector with "
                "build_model(NAME, norm_eps=1e-5, num_classes=…), then load_weights(model, path)"
            )
        return torchvision_config(file.shapes, trained_norm=file.norm_was_trained, **overrides)
    except InputError as error:
        raise InputError(f"{file.path}: {error}") from error


def network_of(file: WeightsFile) -> str:
    """In words what a file holds the weights of."""
    try:
        config = config_of(file)
    except InputError as error:
        if is_resnet(file.arrays):
            return _resnet_in_words(file)
        return f"no detector that can be built here ({str(error).removeprefix(f'{file.path}: ')})"
    return in_words(config)


def _resnet_in_words(file: WeightsFile) -> str:
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
        if not is_resnet(file.arrays):
            return {}
        return {name: Config()[name] for name in _RESNET_CONVENTIONS}
    known = {name: config[name] for name in CONVENTIONS}
    if file.config is None and config["norm_eps"] and not file.norm_was_trained:
        # Other classes on a frozen norm: 0 if it began from COCO's weights, 1e-5 if from ImageNet's.
        del known["norm_eps"]
    return known


def _load(model: RCNN, file: WeightsFile, problems: list[str], *, strict: bool) -> list[str]:
    """Compare names, shapes and dtypes, and load what fits; `problems` are known before."""
    given = file.arrays
    left_out: list[str] = []
    own = {name: tuple(array.shape) for name, array in model.state_dict().items()}
    if file.config is None and is_resnet(given):
        given, classifier = as_backbone(given, trunk=any(name.startswith(TRUNK) for name in own))
        left_out = [f"left out: {name} (tells ImageNet's classes apart)" for name in classifier]
        own = {name: shape for name, shape in own.items() if name.startswith((BODY, TRUNK))}
    problems = [*problems]
    if _CLASSES in own and _CLASSES in given and own[_CLASSES][0] != given[_CLASSES].shape[0]:
        problems.insert(
            0,
            f"classes: the file has {given[_CLASSES].shape[0]} with background, the model "
            f"{own[_CLASSES][0]}",
        )
    fitting = {}
    shapes, kinds = [], []
    for name in own.keys() & given.keys():
        array = given[name]
        if tuple(array.shape) != own[name]:
            shapes.append(f"shape: {name} is {tuple(array.shape)}, the model has {own[name]}")
        elif array.dtype.kind != "f":
            kinds.append(f"kind: {name} is {array.dtype}, it should be of floating-point numbers")
        else:
            fitting[name] = array
    missing = [f"missing: {name}" for name in own if name not in given]
    unexpected = [f"unexpected: {name}" for name in given if name not in own]
    groups = [problems, sorted(shapes), sorted(kinds), missing, unexpected]
    lines = [line for group in groups for line in group]
    if not fitting or (strict and lines):
        raise InputError(_refusal(file, groups, nothing=not fitting))
    check_finite(file.path, fitting)
    model.load_state_dict(fitting, strict=False)
    return left_out + lines


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
