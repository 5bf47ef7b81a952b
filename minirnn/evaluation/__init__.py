"""How good the detections are: COCO's result files and COCO's numbers.

`evaluate_results` asks pycocotools; `minirnn.evaluation.average_precision` computes the same
numbers from scratch, to be read.
"""

from minirnn.evaluation.coco import Evaluation, category_table, evaluate_results, summary_table
from minirnn.evaluation.photo_results import PhotoResults
from minirnn.evaluation.results import to_results, write_results

__all__ = [
    "Evaluation",
    "PhotoResults",
    "category_table",
    "evaluate_results",
    "summary_table",
    "to_results",
    "write_results",
]
