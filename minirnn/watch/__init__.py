"""The page that a training run keeps of itself: report.html in its folder, and what it is made of."""

from minirnn.watch.live import Live, live_page

__all__ = ["Live", "live_page"]
