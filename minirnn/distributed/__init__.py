"""Processes that work on one thing: alone, or on one machine or many by MPI and NCCL."""

from minirnn.distributed.alone import Alone
from minirnn.distributed.communicator import Communicator
from minirnn.distributed.find import communicator, launched

__all__ = ["Alone", "Communicator", "communicator", "launched"]
