"""Several processes that work on one thing: alone, on one machine, or on many by MPI and NCCL."""

from minirnn.distributed.alone import Alone
from minirnn.distributed.communicator import Communicator
from minirnn.distributed.find import communicator, launched

__all__ = ["Alone", "Communicator", "communicator", "launched"]
