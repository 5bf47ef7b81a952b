"""What can be verified: every operation, and every stage, each with inputs to draw."""

from __future__ import annotations

from collections.abc import Callable

from minirnn.verify.gradient_cases import CASES, load_operations
from minirnn.verify.stages import STAGES
from minirnn.verify.subject import Subject
from minirnn.verify.training_stages import TRAINING_STAGES


def subjects() -> dict[str, Subject]:
    """All of them by name, operations first. An operation without inputs to draw is there, too."""
    operations = load_operations()
    found = {}
    for name, operation in sorted(operations.items(), key=lambda item: _family(item[1])):
        found[name] = Subject(
            stage=_family(operation),
            name=name,
            # By name, at the time of the call: the table of operations is what is verified.
            function=lambda name=name: operations[name],  # type: ignore[misc]
            draws=CASES.get(name, ()),
            differentiable=None,
        )
    return found | {subject.name: subject for subject in (*STAGES, *TRAINING_STAGES)}


def _family(operation: Callable) -> str:
    """ "convolution" of minirnn.ops.convolution; all regions are one family."""
    module = operation.__module__.split(".")[-1]
    return "roi" if module.startswith("roi_") or ".roi" in operation.__module__ else module
