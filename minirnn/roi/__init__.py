"""From a region of the image to a small array of fixed size: RoIPool, RoIWarp, RoIAlign."""

from minirnn.ops.roi_align import roi_align
from minirnn.ops.roi_pool import roi_pool
from minirnn.ops.roi_warp import roi_warp
from minirnn.roi.levels import assign_levels, pyramid_roi

__all__ = ["assign_levels", "pyramid_roi", "roi_align", "roi_pool", "roi_warp"]
