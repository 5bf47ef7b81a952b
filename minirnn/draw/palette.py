"""The colours of the course: Okabe and Ito's, which colour-blind readers can tell apart.

Their black is left out, since it is lost on a dark photograph. An object keeps its colour through all
lessons, so that it can be followed.

Source: Okabe, Ito, "Color universal design", 2008.
"""

from __future__ import annotations

AMBER = "#e69f00"
SKY = "#56b4e9"
GREEN = "#009e73"
YELLOW = "#f0e442"
BLUE = "#0072b2"
ORANGE = "#d55e00"
PINK = "#cc79a7"
GREY = "#767676"

#: In their own order: for labels and levels.
PALETTE = (AMBER, SKY, GREEN, YELLOW, BLUE, ORANGE, PINK)
#: Of the objects in the course's pictures, which should stand out first.
OBJECTS = (ORANGE, BLUE, GREEN, PINK, AMBER, SKY, YELLOW)
TRUTH = BLUE
YOURS = ORANGE
