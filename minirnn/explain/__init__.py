"""The X-ray of one prediction: where each detection comes from, and where a missed object was lost.

trace = explain.trace(model, image)
trace.chain(0)                    # the first detection: its class scores, region, level, anchor, rivals
trace.fate([x1, y1, x2, y2], 3)   # an object of label 3 that should be there: how far did it get?
"""

from __future__ import annotations

from minirnn.explain.fate import Fate
from minirnn.explain.trace import Chain, Trace, trace

__all__ = ["Chain", "Fate", "Trace", "trace"]
