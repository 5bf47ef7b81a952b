"""What a data set hands out. The classes are in `minirnn.structures`, which the network knows, too."""

from minirnn.structures import Detections, Sample, Target

__all__ = ["Detections", "Sample", "Target"]
