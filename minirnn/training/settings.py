"""Every number that makes one training run differ from another."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from minirnn.errors import InputError
from minirnn.fields import fitting, kinds_of, refuse, suggestion

SCHEDULES = ("constant", "step", "cosine")
OPTIMISERS = ("sgd", "adamw")

#: Settings that may change when a run is resumed: they do not enter into the steps taken so far
#: (`steps` enters into those to come where the schedule is "cosine").
FREE_ON_RESUME = (
    *("steps", "checkpoint_every", "log_every", "processes", "workers", "timeout", "unreadable"),
)


@dataclass(frozen=True)
class TrainingSettings:
    """How a model is trained.

    Attributes:
        steps: steps of the whole run; each is one batch and one change of the weights.
        batch_size: images in a batch.
        turns: a batch is computed in so many parts, one after the other, and their gradients added: for a
            batch that the memory would not hold at once, see `minirnn.training.turns`. 1 takes it whole.
        optimiser: "sgd", with momentum, or "adamw", whose steps are as long for small gradients as for
            large ones; it wants a smaller learning_rate (0.0003 to 0.001), a larger weight_decay (0.05).
        learning_rate: the highest rate, after the warm-up.
        momentum: share of the last step's velocity that is kept, at least 0 and below 1; AdamW's β₁.
        beta2: AdamW's β₂, at least 0 and below 1.
        weight_decay: pull of the weights towards 0 (not of frozen nor of normalisation parameters).
        averaging: share of the running mean of the weights that is kept at each step, for example 0.99;
            evaluations and averaged.safetensors are of that mean then. 0 for none.
        warmup_steps: steps over which the rate rises to `learning_rate`; 0 for none.
        warmup_factor: the rate of the first of these, as a fraction of `learning_rate`.
        schedule: "constant", "step" (falls at `milestones`) or "cosine" (falls all the time).
        milestones: schedule "step": the numbers of steps after which the rate falls.
        gamma: schedule "step": the factor by which it falls each time.
        final_fraction: schedule "cosine": the rate at the end, as a fraction of `learning_rate`.
        clip_norm: a gradient longer than this is shortened to it; 0 for no limit.
        flip: probability that an image is mirrored left to right.
        zoom: each image is scaled by a factor between these two and keeps its size: above 1 a part of it is
            cut out, below 1 it is laid on an even ground; (1, 1) leaves it.
        crop: each image is cropped to a random window with at least this share of its width and of its
            height; 1 leaves it whole.
        focus: probability that the window of `zoom` or `crop` is laid where an object is.
        min_visible: an object of which less than this share is left after `zoom`, `crop` or `copy_paste` is
            neither learned as an object nor as background.
        copy_paste: probability that objects of another image are pasted into an image, along their masks.
        copy_paste_scale: each is scaled by a factor between these two.
        colour: brightness, contrast and saturation of each image change by this share at most, and its hue
            by an eighth of it (of the full circle); 0 leaves them.
        seed: decides the order of the images, how they are changed, and the draw of anchors and regions.
        checkpoint_every: steps from one checkpoint to the next; there is always one at the end.
        log_every: steps from one line of metrics.jsonl to the next.
        processes: how many share out the images of each batch, see `minirnn.training.team`; 0 for one for
            each core (on a GPU: one). The losses stay the same but for rounding.
        workers: processes that make batches ahead of time; 0 for none.
        timeout: the longest to wait for one batch, or for the other processes' shares of it, in seconds.
        unreadable: share of the images that may turn out to be unreadable (one at least) before the run
            stops; each is named, and another takes its place. At 0 the first stops it.

    Raises:
        InputError: a value is of the wrong kind or out of range; names the field.
    """

    steps: int
    batch_size: int = 8
    turns: int = 1
    optimiser: str = "sgd"
    learning_rate: float = 0.02
    momentum: float = 0.9
    beta2: float = 0.999
    weight_decay: float = 1e-4
    averaging: float = 0.0
    warmup_steps: int = 100
    warmup_factor: float = 0.001
    schedule: str = "cosine"
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1
    final_fraction: float = 0.01
    clip_norm: float = 10.0
    flip: float = 0.5
    zoom: tuple[float, float] = (1.0, 1.0)
    crop: float = 1.0
    focus: float = 0.0
    min_visible: float = 0.0
    copy_paste: float = 0.0
    copy_paste_scale: tuple[float, float] = (0.5, 1.5)
    colour: float = 0.0
    seed: int = 0
    checkpoint_every: int = 500
    log_every: int = 1
    processes: int = 1
    workers: int = 1
    timeout: float = 120.0
    unreadable: float = 0.05

    def __post_init__(self) -> None:
        for name, kind in kinds_of(type(self)).items():
            value = fitting(name, getattr(self, name), kind)
            object.__setattr__(self, name, value)
            _check_range(name, value)
        if self.schedule == "step" and not self.milestones:
            refuse("milestones", self.milestones, "at least one step, for schedule 'step'")

    def replace(self, **overrides: Any) -> TrainingSettings:
        """A copy with some fields changed; lists may stand for tuples, whole numbers for floats.

        Raises:
            InputError: a name is no field, or a value does not fit.
        """
        names = [field.name for field in dataclasses.fields(self)]
        for name in overrides:
            if name not in names:
                hint = suggestion(name, names)
                raise InputError(f"the training settings have no field {name!r}{hint}")
        return dataclasses.replace(self, **overrides)


#: Smallest allowed value of each number, and whether that value itself is allowed.
_LEAST = {
    "steps": (1, True),
    "batch_size": (1, True),
    "turns": (1, True),
    "learning_rate": (0, False),
    "momentum": (0, True),
    "beta2": (0, True),
    "weight_decay": (0, True),
    "averaging": (0, True),
    "warmup_steps": (0, True),
    "warmup_factor": (0, True),
    "gamma": (0, False),
    "final_fraction": (0, True),
    "clip_norm": (0, True),
    "flip": (0, True),
    "crop": (0, False),
    "focus": (0, True),
    "min_visible": (0, True),
    "copy_paste": (0, True),
    "colour": (0, True),
    "seed": (0, True),
    "checkpoint_every": (1, True),
    "log_every": (1, True),
    "processes": (0, True),
    "workers": (0, True),
    "timeout": (0, False),
    "unreadable": (0, True),
}

#: Largest allowed value: of shares, and of counts of which a slip of the finger would have the machine
#: busy for ever.
_MOST = {
    **dict.fromkeys(("warmup_factor", "gamma", "final_fraction", "unreadable"), 1),
    **dict.fromkeys(("flip", "crop", "focus", "min_visible", "copy_paste", "colour"), 1),
    **{"batch_size": 10_000, "processes": 1_000, "workers": 1_000},
}

#: Pairs of factors, the smaller first, and what they may be.
_FACTORS, _RANGE = ("zoom", "copy_paste_scale"), (0.1, 10)


def _check_range(name: str, value: Any) -> None:
    if name in _LEAST:
        least, allowed = _LEAST[name]
        if value < least or (value == least and not allowed):
            refuse(name, value, f"{'at least' if allowed else 'more than'} {least}")
    if name in _MOST and value > _MOST[name]:
        refuse(name, value, f"at most {_MOST[name]}")
    if name in _FACTORS and not _RANGE[0] <= value[0] <= value[1] <= _RANGE[1]:
        refuse(name, value, f"two factors, the smaller first, from {_RANGE[0]} to {_RANGE[1]}")
    if name in ("momentum", "beta2", "averaging") and value >= 1:
        refuse(name, value, "less than 1")
    for names, choices in (("schedule", SCHEDULES), ("optimiser", OPTIMISERS)):
        if name == names and value not in choices:
            refuse(name, value, f"one of {', '.join(choices)}")
    if name == "milestones" and not all(a < b for a, b in zip((0, *value), value, strict=False)):
        refuse(name, value, "growing numbers of steps, the first at least 1")
