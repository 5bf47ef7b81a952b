"""How fast is this library beside the compiled ones, on the same machine and in the same run?

Rules that every figure here keeps: both sides get the same inputs and the same number of threads and
take turns, so that a machine that slows down slows both; each runs twice before the clock starts;
medians are given; and the answers are compared, because a fast wrong answer is worth nothing.
"""

from __future__ import annotations
