"""A thorough look at a data set, before training and not at step 5: every image decoded, every mask filled.

`CocoFile` refuses what training would stop at, here as everywhere. On top of that come faults that training
does not notice and learns from (`objects`, `twins`, `categories`), and notes (`looks`).

    inspect → Inspection: problems by split, each of a kind (`kinds`) → repaired copy (`repair`)
"""

from minirnn.data.inspection.inspect import inspect
from minirnn.data.inspection.kinds import HARMS, KINDS, NOTE, SEVERITIES, STOPS, Kind, kind_of
from minirnn.data.inspection.repair import Repair, repaired_copy
from minirnn.data.inspection.split import Inspection, Split

__all__ = [
    "HARMS",
    "KINDS",
    "NOTE",
    "SEVERITIES",
    "STOPS",
    "Inspection",
    "Kind",
    "Repair",
    "Split",
    "inspect",
    "kind_of",
    "repaired_copy",
]
