"""From a region of the image to a small array of fixed size: RoIPool, RoIWarp, RoIAlign."""

from minirnn.roi.align import roi_align
from minirnn.roi.levels import assign_levels, pyramid_roi
from minirnn.roi.pool import roi_pool
from minirnn.roi.warp import roi_warp

__all__ = ["assign_levels", "pyramid_roi", "roi_align", "roi_pool", "roi_warp"]
