"""From other tools' labels to COCO's layout: one file for each format.

recognise → a reader (labelme, yolo, cvat, roboflow, labelstudio, voc, cocojson) → found → write

A reader knows a format and its oddities; `found` is what all of them give out; `write` decides what can be
used, copies the photographs, and says what was left out.
"""

from minirnn.data.convert.found import Found, LeftOut
from minirnn.data.convert.recognise import TITLES, Recognised, recognise
from minirnn.data.convert.run import convert
from minirnn.data.convert.summary import Summary

__all__ = ["TITLES", "Found", "LeftOut", "Recognised", "Summary", "convert", "recognise"]
