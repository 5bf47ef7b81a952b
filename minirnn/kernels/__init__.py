"""Faster ways to compute some operations: the table of them, and a package for each kind of device."""

from minirnn.kernels.table import (
    OPERATIONS,
    Kernel,
    Operation,
    add_room,
    kernel,
    operation,
    plain,
    plain_only,
)
from minirnn.kernels.threads import limited_to, thread_count

__all__ = [
    "OPERATIONS",
    "Kernel",
    "Operation",
    "add_room",
    "kernel",
    "limited_to",
    "operation",
    "plain",
    "plain_only",
    "thread_count",
]
