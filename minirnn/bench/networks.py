"""The contestants of the whole network, built from a folder.

What is compared is written into a folder once: configuration, weights and pictures. From it the same
contestant can be built in this process, where the clock runs, and alone in a process of its own,
where its memory is measured.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minirnn.bench.peers import onnx_session
from minirnn.data.sample import Sample, Target
from minirnn.kernels.cpu.memory import keep_freed
from minirnn.models import RCNN, Config, build_model, detector
from minirnn.training.optimiser import SGD
from minirnn.training.team import Team, losses_of

NETWORKS = ("resnet50", "shapes")
#: So short that the weights hardly move, and every step does the same work.
LEARNING_RATE = 1e-7
_MOMENTUM, _DECAY = 0.9, 1e-4


@dataclasses.dataclass(frozen=True)
class Setup:
    """What a folder holds.

    Attributes:
        network: "resnet50" (torchvision's Mask R-CNN R-50-FPN) or "shapes" (the demo's).
        training: whether a step of training is timed, not an inference.
        threads: that a contestant may use.
        seed: of the weights.
        config: fields of our configuration.
    """

    network: str
    training: bool
    threads: int
    seed: int
    config: dict[str, Any]


def resnet50(seed: int, size: int, **overrides: Any) -> RCNN:
    """Mask R-CNN R-50-FPN with weights drawn so that dozens of detections come out."""
    from minirnn.verify.torchvision_model import NORM_EPS, draw_weights

    keep_freed()
    model = build_model(
        "maskrcnn_resnet50_fpn",
        norm_eps=NORM_EPS,
        min_size=(size,),
        max_size=longer_side(size),
        **overrides,
    )
    shapes = {name: array.shape for name, array in model.state_dict().items()}
    model.load_state_dict(draw_weights(shapes, seed))
    return model


def longer_side(size: int) -> int:
    """The limit of the longer side that goes with a shorter side: 1333 with 800."""
    return size * 5 // 3


def write_folder(folder: Path, setup: Setup, model: RCNN, samples: Sequence[Sample]) -> None:
    """Write down what the contestants are built from."""
    (folder / "setup.json").write_text(json.dumps(dataclasses.asdict(setup)), encoding="utf-8")
    np.savez(folder / "weights.npz", **model.state_dict())
    arrays = {}
    for number, sample in enumerate(samples):
        arrays[f"{number}.image"] = sample.image
        for name in ("boxes", "labels", "masks", "is_crowd"):
            arrays[f"{number}.{name}"] = np.asarray(getattr(sample.target, name))
    np.savez(folder / "samples.npz", **arrays)  # type: ignore[arg-type]


def read_setup(folder: Path) -> Setup:
    """What the folder holds."""
    return Setup(**json.loads((folder / "setup.json").read_text(encoding="utf-8")))


def read_samples(folder: Path) -> list[Sample]:
    """The pictures, with what is in them."""
    with np.load(folder / "samples.npz") as arrays:
        count = len({name.partition(".")[0] for name in arrays.files})
        fields = ("boxes", "labels", "masks", "is_crowd")
        return [
            Sample(arrays[f"{i}.image"], Target(**{n: arrays[f"{i}.{n}"] for n in fields}))
            for i in range(count)
        ]


def read_weights(folder: Path) -> dict[str, np.ndarray]:
    """The weights, by name."""
    with np.load(folder / "weights.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


def our_network(folder: Path, **overrides: Any) -> RCNN:
    """Our model with the folder's weights; any field of its configuration can be overridden."""
    config = Config().replace(**{**read_setup(folder).config, **overrides})
    keep_freed()
    model = detector(config, np.random.default_rng(0))
    model.load_state_dict(read_weights(folder))
    return model


def their_network(folder: Path) -> Any:
    """torchvision's, with the same weights."""
    from minirnn.verify.torchvision_model import load_weights, torchvision_mask_rcnn

    setup = read_setup(folder)
    if setup.network == "shapes":
        from minirnn.verify.learning_model import build_learning_pair

        reference, _ = build_learning_pair(seed=setup.seed)
    else:
        config = Config().replace(**setup.config)
        reference = torchvision_mask_rcnn(
            min_size=config.transform.min_size[-1],
            max_size=config.transform.max_size,
            box_batch_size_per_image=config.roi.samples,
        )
    load_weights(reference, read_weights(folder))
    return reference.train(setup.training)


def contestant(name: str, folder: Path) -> Callable[[], Any]:
    """A function that does the work once.

    Args:
        name: "ours", "torchvision" or "ONNX Runtime".
        folder: from `write_folder`; for ONNX Runtime with `model.onnx` in it.
    """
    setup, samples = read_setup(folder), read_samples(folder)
    if name == "ours":
        model = our_network(folder)
        if setup.training:
            return our_step(model, samples, setup.threads)
        return lambda: our_answer(model, samples)
    images = [_as_float(sample.image) for sample in samples]
    if name == "ONNX Runtime":
        session = onnx_session(folder / "model.onnx", setup.threads)
        # The graph is for one image. On a processor nothing is lost by that: one fills its cores.
        return lambda: [session.run(None, {"image": image}) for image in images]
    import torch

    torch.set_num_threads(setup.threads)
    reference = their_network(folder)
    if setup.training:
        return their_step(reference, samples)
    tensors = [torch.from_numpy(image) for image in images]

    def infer() -> Any:
        with torch.no_grad():
            return reference(tensors)

    return infer


def our_answer(model: RCNN, samples: Sequence[Sample]) -> Any:
    """Our detections."""
    return model.predict([sample.image for sample in samples])


def our_step(model: RCNN, samples: Sequence[Sample], threads: int) -> Callable[[], float]:
    """A function that takes a step of training and returns the loss.

    As in the demo, each thread that there may be is a process of its own if there are images for them.
    """
    optimiser = SGD(model, momentum=_MOMENTUM, weight_decay=_DECAY)
    images, targets = [s.image for s in samples], [s.target for s in samples]
    processes = min(threads, len(samples))
    team = Team(model, processes) if processes > 1 else None

    def step() -> float:
        optimiser.zero_grad()
        losses, backward = losses_of(model, team, images, targets, np.random.default_rng(0))
        backward()
        optimiser.step(LEARNING_RATE)
        return math.fsum(losses.values())

    return step


def total_of(losses: Mapping[str, Any]) -> Any:
    """The sum of the losses."""
    first, *others = losses.values()
    for loss in others:
        first = first + loss
    return first


def their_step(reference: Any, samples: Sequence[Sample]) -> Callable[[], float]:
    """The same of torchvision's."""
    import torch

    learned = [p for p in reference.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(learned, LEARNING_RATE, momentum=_MOMENTUM, weight_decay=_DECAY)
    images = [torch.from_numpy(_as_float(sample.image)) for sample in samples]
    targets = [
        {
            "boxes": torch.from_numpy(np.asarray(sample.target.boxes)),
            "labels": torch.from_numpy(np.asarray(sample.target.labels)),
            "masks": torch.from_numpy(np.asarray(sample.target.masks).astype(np.uint8)),
        }
        for sample in samples
    ]

    def step() -> float:
        torch.manual_seed(0)
        optimiser.zero_grad()
        # Copies, because torchvision writes the scaled boxes into the dictionaries.
        losses = reference(images, [dict(target) for target in targets])
        total = total_of(losses)
        total.backward()
        optimiser.step()
        return float(total.detach())

    return step


def count_regions(model: RCNN) -> dict[str, int]:
    """From now on, how many regions the heads were given for the last batch: "box" and "mask"."""
    seen = {"box": 0, "mask": 0}

    def from_zero(call: Callable) -> Callable:
        def begun(*arguments: Any, **settings: Any) -> Any:
            seen.update(dict.fromkeys(seen, 0))
            return call(*arguments, **settings)

        return begun

    for name in ("predict", "loss_terms"):
        setattr(model, name, from_zero(getattr(model, name)))

    def counted(name: str, pooler: Callable) -> Callable:
        def pool(features: Any, boxes: Sequence[np.ndarray]) -> Any:
            # A large batch goes through in parts.
            seen[name] += sum(len(of_image) for of_image in boxes)
            return pooler(features, boxes)

        return pool

    for name, head in zip(seen, model.roi_heads, strict=False):
        head.pooler = counted(name, head.pooler)
    return seen


def _as_float(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 → (3, H, W) float32 in 0…1, which is what torchvision starts from."""
    return np.ascontiguousarray(image.transpose(2, 0, 1)).astype(np.float32) / np.float32(255)
