"""The end of a run whose numbers are not finite: where it was, in what, and with which images.

From the first NaN on every weight would be NaN. So losses are looked at before the backward pass, and
gradients before the optimiser uses them: the weights are still those of the step before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NoReturn

from minirnn.distributed import Communicator
from minirnn.errors import DivergenceError
from minirnn.structures import Sample
from minirnn.training.optimiser import Optimiser, gradient_norm


def refuse_losses(
    losses: Mapping[str, float], step: int, batch: Sequence[Sample], ranks: Communicator
) -> None:
    """Go on only if all losses are finite.

    Args:
        losses: by name.
        step: the number of steps before this one.
        batch: what they are losses of (this rank's part), for the message.
        ranks: who shares out the batch; all have the same losses.

    Raises:
        DivergenceError: one is not; names it and the images.
    """
    for name, value in losses.items():
        if not math.isfinite(value):
            _diverged(f"loss {name} is {value}", name, step, batch, ranks)


def refuse_gradients(
    norm: float, optimiser: Optimiser, step: int, batch: Sequence[Sample], ranks: Communicator
) -> None:
    """Go on only if all gradients are finite.

    Args:
        norm: of all gradients together, before clipping.
        optimiser: knows the parameters.
        step: the number of steps before this one.
        batch: what they are gradients of (this rank's part), for the message.
        ranks: who shares out the batch; all have the same gradients.

    Raises:
        DivergenceError: one is not; names its parameter and the images.
    """
    if not math.isfinite(norm):
        for name, tensor in optimiser.named_parameters().items():
            if not math.isfinite(part := gradient_norm([tensor])):
                _diverged(f"the gradient of {name} has norm {part}", name, step, batch, ranks)
        _diverged(f"the gradient has norm {norm}", "gradient", step, batch, ranks)


def _diverged(
    what: str, term: str, step: int, batch: Sequence[Sample], ranks: Communicator
) -> NoReturn:
    own = [
        f"{sample.target.image_id} ({sample.target.file_name})"
        if sample.target.file_name
        else str(sample.target.image_id)
        for sample in batch
    ]
    images = [name for names in ranks.share(own) for name in names]
    raise DivergenceError(
        f"{what} at step {step + 1}, with images {', '.join(images)}; a lower "
        "--learning-rate, a longer --set warmup_steps or a smaller --set clip_norm (0 is no limit) may "
        "help",
        term=term,
        step=step + 1,
        images=images,
    )
