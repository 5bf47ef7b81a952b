"""Every public stage function has a plain-loop twin of the same name, and the twins stand alone."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import minirnn

#: Stage module → textbook module.
TWINS = {
    "boxes.geometry": "boxes",
    "boxes.coder": "boxes",
    "boxes.nms": "boxes",
    "anchors": "anchors",
    "boxes.match": "matching",
    "matching": "matching",
    "proposals.rpn": "rpn",
    "transform": "transform",
    "heads.regions": "heads",
    "heads.box": "heads",
    "heads.mask": "heads",
    "heads.keypoint": "keypoints",
    "ops.bicubic": "keypoints",
    "ops.roi_pool": "roi_pool",
    "ops.roi_warp": "roi_warp",
    "ops.roi_align": "roi_align",
    "roi.levels": "levels",
    "masks.crop": "masks",
    "masks.paste": "masks",
    "masks.rle": "masks",
    "ops.activation": "activation",
    "ops.arithmetic": "arithmetic",
    "ops.reduction": "reduction",
    "ops.shape": "shape",
    "ops.convolution": "convolution",
    "ops.losses": "losses",
    "ops.normalisation": "normalisation",
    "ops.pooling": "pooling",
    "ops.resize": "resize",
    "training.schedule": "training",
    "ops.adamw": "training",
    "ops.sgd": "training",
    "training.optimiser": "training",
}
#: What has no loop to show, and why.
WITHOUT: dict[str, str] = {
    "transform.make_batch": "puts scaled_size, normalise and resize.bilinear together",
    "transform.prepare_target": "checks, then scale_boxes and scale_masks",
    "transform.check_image": "a check",
    "ops.normalisation.scale_and_shift": "a part of frozen_batch_norm",
    "boxes.match.decided": "a part of match",
    "masks.paste.place": "a part of paste",
    "ops.sgd.sgd_steps": "sgd_step for each parameter",
    "training.optimiser.optimiser_of": "a choice between two",
    "masks.paste.weights_of": "a part of paste",
    "masks.paste.weights_within": "a part of paste",
    "masks.paste.with_border": "a part of paste",
    "masks.rle.run_lengths": "a part of encode",
    "matching.match_boxes": "match, then ignore_crowds",
    "heads.regions.sample_rois": "roi_targets, then matching.sample",
    "heads.mask.mask_targets": "masks.crop for each image",
    "boxes.nms.rounded_down": "a threshold in the type of the boxes, a part of nms",
    "masks.rle.encode_many": "encode for each mask",
    "ops.roi_pool.bin_edges": "where the bins of roi_pool begin and end, a part of its twin",
    "ops.roi_pool.quantised": "the rounding of roi_pool and roi_warp, a part of both twins",
    "ops.shape.arranged": "the same numbers at other places in memory, which a loop does not see",
    "masks.rle.parse": "a part of decode",
    "masks.rle.pack": "a part of encode",
    "masks.rle.unpack": "a part of decode",
}


#: Arguments of the library that its textbook twin does not have, and why.
ONLY_THERE = {
    "xp": "the array library: the textbook knows NumPy alone",
}
#: Objects that hold settings in the library, and are so many arguments in the textbook.
SETTINGS = {
    "coder": lambda coder: [("weights", coder.weights)],
    "matcher": lambda matcher: [
        ("foreground_iou", matcher.high),
        ("background_iou", matcher.low),
        ("crowd_overlap", matcher.crowd_overlap),
    ],
}
#: Results differ in form twice: an operation also gives its gradients under `.raw`, and
#: `detections_of_image` puts boxes, labels and scores into a dataclass.


def _public(module):
    return {
        name: value
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    }


@pytest.mark.parametrize("name", TWINS)
def test_every_stage_function_has_its_twin(name):
    stage = importlib.import_module(f"minirnn.{name}")
    twin = importlib.import_module(f"minirnn.textbook.{TWINS[name]}")
    wanted = {f for f in _public(stage) if f"{name}.{f}" not in WITHOUT}
    assert wanted, f"{name} has no public function"
    assert wanted <= set(_public(twin))


def _arguments(function):
    """(name, kind, default) of each argument; a function that is a default counts by its name."""
    found = []
    for p in inspect.signature(function).parameters.values():
        default = getattr(p.default, "__name__", p.default)
        if p.name in SETTINGS:
            found += [(name, p.kind.name, value) for name, value in SETTINGS[p.name](default)]
        elif p.name not in ONLY_THERE:
            found.append((p.name, p.kind.name, default))
    return found


@pytest.mark.parametrize("name", TWINS)
def test_twins_take_the_same_arguments(name):
    stage = importlib.import_module(f"minirnn.{name}")
    twin = importlib.import_module(f"minirnn.textbook.{TWINS[name]}")
    for function, fast in _public(stage).items():
        if f"{name}.{function}" not in WITHOUT:
            assert _arguments(getattr(twin, function)) == _arguments(fast), function


def test_no_exception_is_left_over():
    for path in WITHOUT:
        module, _, function = path.rpartition(".")
        assert hasattr(importlib.import_module(f"minirnn.{module}"), function), path


def test_textbook_stands_alone():
    """It imports NumPy, the standard library, the data classes and itself: never a fast version."""
    folder = Path(minirnn.__file__).parent / "textbook"
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                if name.startswith("minirnn"):
                    assert name.startswith(("minirnn.textbook", "minirnn.structures")), path
