"""Processes that work on one thing: alone, some that the first starts, or on many machines (MPI, NCCL)."""

from minirnn.distributed.alone import Alone
from minirnn.distributed.communicator import Communicator
from minirnn.distributed.find import communicator, launched

__all__ = ["Alone", "Communicator", "communicator", "launched"]
