"""The learning rate of each step: a warm-up, and then a way down."""

from __future__ import annotations

import math

from minirnn.training.settings import TrainingSettings


def learning_rate(step: int, settings: TrainingSettings) -> float:
    """The rate rises in a straight line while the weights are wild, then falls so that they settle.

        rate = learning_rate · warm-up(step) · fall(step)

        warm-up:   f + (1 - f) · step / warmup_steps   with f = warmup_factor, up to 1
        constant:  1
        step:      gamma ^ (number of milestones ≤ step)
        cosine:    f + (1 - f) · (1 + cos πt) / 2,   f = final_fraction,
                   t = (step - warmup_steps) / (steps - warmup_steps), clipped to 0…1

    Args:
        step: the number of steps taken before this one, from 0.
        settings: of the run; `steps` matters to "cosine" only.

    Returns:
        The learning rate of this step.

    Raises:
        ValueError: step is negative.

    Source: warm-up: Goyal et al., "Accurate, large minibatch SGD", 2017, section 2.2; steps: He
        et al., "Mask R-CNN", 2017, section 3.1; cosine: Loshchilov and Hutter, "SGDR", 2017,
        section 3.
    """
    if step < 0:
        raise ValueError(f"step is {step}; it should be at least 0")
    rate = settings.learning_rate
    if step < settings.warmup_steps:
        done = step / settings.warmup_steps
        rate *= settings.warmup_factor + (1 - settings.warmup_factor) * done
    if settings.schedule == "step":
        rate *= settings.gamma ** sum(milestone <= step for milestone in settings.milestones)
    elif settings.schedule == "cosine":
        # A run that ends within its warm-up never gets as far as falling.
        length = max(settings.steps - settings.warmup_steps, 1)
        t = min(max((step - settings.warmup_steps) / length, 0.0), 1.0)
        low = settings.final_fraction
        rate *= low + (1 - low) * (1 + math.cos(math.pi * t)) / 2
    return rate
