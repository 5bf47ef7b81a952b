"""The contestants of the whole network, built from a folder.

What is compared is written into a folder once: configuration, weights and pictures. From it the same
contestant can be built in this process, where the clock runs, and alone in a process of its own,
where its memory is measured.
"""

from __future__ import annotations

import dataclasses
import math
import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minirnn.bench.place import HERE, Place
from minirnn.data.sample import Sample
from minirnn.distributed import Communicator
from minirnn.kernels.cpu.memory import keep_freed
from minirnn.models import RCNN, Config, build_model, detector
from minirnn.training.optimiser import SGD
from minirnn.training.passes import Passes
from minirnn.training.ranks import Ranks
from minirnn.training.team import Team
from minirnn.training.whole import Whole

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
        config: our configuration.
        weights: by name.
        samples: the pictures, with what is in them.
    """

    network: str
    training: bool
    threads: int
    seed: int
    config: Config
    weights: dict[str, np.ndarray]
    samples: Sequence[Sample]

    def write(self, folder: Path) -> None:
        """Write it down."""
        (folder / "setup.pickle").write_bytes(pickle.dumps(self, pickle.HIGHEST_PROTOCOL))

    @classmethod
    def read(cls, folder: Path) -> Setup:
        """What the folder holds. Let go of it before memory is measured: it is as large as the network."""
        with (folder / "setup.pickle").open("rb") as file:
            return pickle.load(file)


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


def our_network(folder: Path, place: Place = HERE, **overrides: Any) -> RCNN:
    """Our model with the folder's weights, at a place; any field of its configuration can be overridden."""
    setup = Setup.read(folder)
    keep_freed()
    model = detector(setup.config.replace(**overrides), np.random.default_rng(0))
    model.load_state_dict(setup.weights)
    model.to(place.device)
    return model


def their_network(folder: Path, place: Place = HERE) -> Any:
    """torchvision's, with the same weights, at a place."""
    from minirnn.verify.torchvision_model import load_weights, torchvision_mask_rcnn

    setup = Setup.read(folder)
    config = setup.config
    if setup.network == "shapes":
        from minirnn.verify.learning_model import build_learning_pair

        reference, _ = build_learning_pair(seed=setup.seed)
    else:
        reference = torchvision_mask_rcnn(
            min_size=config.transform.min_size[-1],
            max_size=config.transform.max_size,
            box_batch_size_per_image=config.roi.samples,
        )
    load_weights(reference, setup.weights)
    return reference.to(place.torch).train(setup.training)


def contestant(name: str, folder: Path, place: Place = HERE) -> Callable[[], Any]:
    """A function that does the work once.

    Args:
        name: "ours", "torchvision" or "ONNX Runtime".
        folder: from `Setup.write`; for ONNX Runtime with `model.onnx` in it.
        place: where it works. On a GPU, too, pictures come from the host, as bytes, and what is found is
            brought back there.
    """
    setup = Setup.read(folder)
    samples, threads, training = setup.samples, setup.threads, setup.training
    if name == "ours":
        model = our_network(folder, place)
        return our_step(model, samples, threads) if training else our_answer(model, samples)
    if name == "ONNX Runtime":
        from minirnn.verify.references.onnx_session import session

        run = session(folder / "model.onnx", threads).run
        arrays = [_as_float(sample.image) for sample in samples]
        # The graph is for one image. On a processor nothing is lost by that: one fills its cores.
        return lambda: [run(None, {"image": array}) for array in arrays]
    import torch

    torch.set_num_threads(threads)
    reference = their_network(folder, place)
    if training:
        return their_step(reference, samples, place)
    if place.is_gpu:
        return _their_answer_on_a_gpu(reference, samples, place)
    images = [torch.from_numpy(_as_float(sample.image)) for sample in samples]

    def infer() -> Any:
        with torch.no_grad():
            return reference(images)

    return infer


def _their_answer_on_a_gpu(
    reference: Any, samples: Sequence[Sample], place: Place
) -> Callable[[], Any]:
    """From bytes on the host to detections on the host, masks as true and false: as ours."""
    import torch

    pictures = [torch.from_numpy(np.ascontiguousarray(sample.image)) for sample in samples]

    def infer() -> Any:
        with torch.no_grad():
            there = [picture.to(place.torch).permute(2, 0, 1).float() / 255 for picture in pictures]
            found = reference(there)
            for each in found:
                each["masks"] = each["masks"] > 0.5
            return [{name: values.cpu() for name, values in each.items()} for each in found]

    return infer


def _as_float(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 → (3, H, W) float32 in 0…1, which is what the other libraries start from."""
    return np.ascontiguousarray(image.transpose(2, 0, 1)).astype(np.float32) / np.float32(255)


def our_answer(model: RCNN, samples: Sequence[Sample]) -> Callable[[], Any]:
    """A function that gives our detections."""
    images = [sample.image for sample in samples]
    return lambda: model.predict(images)


def our_step(
    model: RCNN, samples: Sequence[Sample], threads: int, ranks: Communicator | None = None
) -> Callable[[], float]:
    """A function that takes a step of training and returns the loss.

    Args:
        model: ours.
        samples: the batch, or with ranks this rank's part of it, of which all have as much.
        threads: as in the demo, the images are divided among so many processes, at most one for each image;
            on a GPU they stay together.
        ranks: that take the step together, each in this one process; None for this one alone.
    """
    optimiser = SGD(model, momentum=_MOMENTUM, weight_decay=_DECAY)
    images, targets = [s.image for s in samples], [s.target for s in samples]
    processes = min(threads, len(samples)) if model.device == "cpu" else 1
    passes: Passes = Whole(model)
    if ranks is not None and ranks.size > 1:
        passes = Ranks(model, ranks, len(samples) * ranks.size)
    elif ranks is None and processes > 1:
        passes = Team(model, processes)

    def step() -> float:
        optimiser.zero_grad()
        rngs = passes.streams(np.random.default_rng(0), len(images))
        losses = passes.losses(images, targets, rngs)
        passes.backward()
        optimiser.step(LEARNING_RATE)
        return math.fsum(losses.values())

    return step


def total_of(losses: Mapping[str, Any]) -> Any:
    """The sum of the losses."""
    first, *others = losses.values()
    return sum(others, first)


def their_step(
    reference: Any, samples: Sequence[Sample], place: Place = HERE
) -> Callable[[], float]:
    """The same of torchvision's."""
    import torch

    from minirnn.verify.parity_training import target_as_dict

    learned = [p for p in reference.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(learned, LEARNING_RATE, momentum=_MOMENTUM, weight_decay=_DECAY)
    images = [torch.from_numpy(_as_float(sample.image)) for sample in samples]
    targets = [target_as_dict(sample, torch.float32) for sample in samples]

    def step() -> float:
        torch.manual_seed(0)
        optimiser.zero_grad()
        moved = [image.to(place.torch) for image in images]
        # Copies, because torchvision writes the scaled boxes into the dictionaries.
        truth = [{name: x.to(place.torch) for name, x in target.items()} for target in targets]
        total = total_of(reference(moved, truth))
        total.backward()
        optimiser.step()
        return float(total.detach())

    return step
