"""Every operation and stage against the textbook and the libraries, on the same drawn inputs.

    table = minirnn.verify.compare("roi_align")     # one function
    table = minirnn.verify.compare("masks")         # one stage
    table = minirnn.verify.compare()                # everything

Forward, both get the same inputs and their answers are compared number by number. For gradients, a
random cotangent c makes one number of the answer, L = Σ c · f(x), and dL/dx is compared.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import numpy as np

from minirnn import kernels
from minirnn.errors import InputError
from minirnn.verify.case import Question
from minirnn.verify.difference import Difference
from minirnn.verify.drawing import as_type
from minirnn.verify.references import REFERENCES, Reference, Skip
from minirnn.verify.subject import Subject
from minirnn.verify.subjects import subjects
from minirnn.verify.table import NotCompared, Row, Table

_SINGLE = 1e-6  # tolerance for a few operations in float32


def compare(
    *names: str,
    references: Sequence[str] | None = None,
    seed: int = 0,
    plain: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> Table:
    """Compare functions of this library with every reference that is installed.

    Args:
        names: of operations, stage functions, or whole stages ("roi"); everything if there is none.
        references: only these, by name; all if None.
        seed: another seed draws other inputs.
        plain: compare the plain forms of our operations, not the kernels that stand in for them.
        progress: called before each function with its name, how many are done, and how many there are.

    Returns:
        A table to print, to show in a notebook, or to look through by its `rows`.

    Raises:
        InputError: there is no such function, stage or reference (lists those that there are), or a
            reference was asked for by name and is not installed.
    """
    chosen = _choose(names)
    table = Table([], seed=seed)
    left: dict[tuple[str, str], list[str]] = {}
    asked = []
    for reference in _choose_references(references):
        reason = reference.missing()
        if reason and references is not None:
            raise InputError(f"{reference.name} cannot be compared with: it is {reason}")
        if reason:
            left[reference.name, reason] = ["everything"]
        else:
            asked.append(reference)
    table.versions = {r.name: r.version() for r in asked if r.packages}

    for number, subject in enumerate(chosen):
        if progress:
            progress(subject.name, number, len(chosen))
        if not subject.cases:
            left.setdefault(("no reference", subject.why_not), []).append(subject.name)
            continue
        for reference in asked:
            if subject.name not in reference.functions():
                key = (reference.name, reference.missing_functions)
                left.setdefault(key, []).append(subject.name)
                continue
            with kernels.plain() if plain else nullcontext():
                rows, skipped = _against(subject, reference, seed)
            table.rows += rows
            for reason in skipped:
                left.setdefault((reference.name, reason), []).append(subject.name)
            if subject.differentiable != () and reference.gradients == "none":
                key = (reference.name, "has no gradients")
                left.setdefault(key, []).append(subject.name)
    order = {reference.name: i for i, reference in enumerate(REFERENCES)}
    table.not_compared = [
        NotCompared(reference, reason, tuple(dict.fromkeys(functions)))
        for (reference, reason), functions in sorted(
            left.items(), key=lambda item: order.get(item[0][0], -1)
        )
    ]
    return table


def _choose(names: Sequence[str]) -> list[Subject]:
    known = subjects()
    stages = list(dict.fromkeys(subject.stage for subject in known.values()))
    for name in names:
        if name not in known and name not in stages:
            raise InputError(
                f"there is nothing to verify named {name!r}; there are the stages "
                f"{', '.join(stages)}, and the functions {', '.join(known)}"
            )
    return sorted(
        (s for s in known.values() if not names or s.name in names or s.stage in names),
        key=lambda subject: stages.index(subject.stage),
    )


def _choose_references(names: Sequence[str] | None) -> list[Reference]:
    by_name = {reference.name.lower(): reference for reference in REFERENCES}
    for name in names or ():
        if name.lower() not in by_name:
            known = ", ".join(reference.name for reference in REFERENCES)
            raise InputError(f"there is no reference {name!r}; there are {known}")
    return [r for key, r in by_name.items() if names is None or key in [n.lower() for n in names]]


def _against(subject: Subject, reference: Reference, seed: int) -> tuple[list[Row], list[str]]:
    """The rows of one function and one reference, and why cases are missing from them."""
    found: dict[str, list[Difference]] = {"forward": [], "gradient": []}
    skipped: list[str] = []
    for number, case in enumerate(subject.cases):
        rng = np.random.default_rng([seed, zlib.crc32(subject.name.encode()), number])
        inputs, settings = as_type(case(rng), reference.dtype)
        question = Question(subject, reference, inputs, settings, rng)
        try:
            theirs = question.theirs()
        except Skip as skip:
            skipped.append(str(skip))
            continue
        except Exception as error:  # another version of it, say: to be seen, but not to end all
            found["forward"].append(_failure(error, f"{reference.name} raised "))
            continue
        try:  # a bug of ours is a miss, too, and does not hide the rest
            found["forward"].append(question.forward(theirs))
        except Exception as error:
            found["forward"].append(_failure(error))
            continue
        if question.has_gradient:
            try:
                found["gradient"].append(question.backward())
            except Exception as error:
                found["gradient"].append(_failure(error))
    rows = []
    for compared, errors in found.items():
        if not errors:
            continue
        limits = (reference.tolerance, reference.gradient_tolerance)
        limit = max(limits[compared == "gradient"], _SINGLE if subject.single else 0)
        note = next((error.note for error in errors if error.note), "")
        rows.append(
            Row(
                stage=subject.stage,
                name=subject.name,
                compared=compared,
                reference=reference.name,
                cases=len(errors),
                absolute=float(np.max([error.absolute for error in errors])),
                relative=float(np.max([error.relative for error in errors])),
                tolerance=0.0 if all(error.exact for error in errors) else limit,
                errors=tuple(error.relative for error in errors),
                note=f"({note})" if note else "",
            )
        )
    part = "some" if found["forward"] else "all"
    return rows, [f"{part} of its inputs: {reason}" for reason in dict.fromkeys(skipped)]


def _failure(error: Exception, who: str = "") -> Difference:
    """A case whose answers cannot be subtracted, because one of the two raised an exception."""
    story = " ".join(f"{who}{type(error).__name__}: {error}".split())[:120]  # some are long
    return Difference(float("inf"), float("inf"), note=story)
