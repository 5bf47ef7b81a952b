"""Training: the optimiser, the learning rate's course, the loop, and checkpoints."""

from minirnn.training.checkpoint import read_checkpoint, restore_checkpoint, save_checkpoint
from minirnn.training.loop import TrainingSummary, train
from minirnn.training.optimiser import SGD, AdamW, clip_gradients, gradient_norm, sgd_step
from minirnn.training.schedule import learning_rate
from minirnn.training.settings import TrainingSettings

__all__ = [
    "SGD",
    "AdamW",
    "TrainingSettings",
    "TrainingSummary",
    "clip_gradients",
    "gradient_norm",
    "learning_rate",
    "read_checkpoint",
    "restore_checkpoint",
    "save_checkpoint",
    "sgd_step",
    "train",
]
