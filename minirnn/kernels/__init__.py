"""Faster ways to compute some operations: the table, and a room for each kind of device."""

from minirnn.kernels.table import (
    OPERATIONS,
    Kernel,
    Operation,
    kernel,
    operation,
    plain,
    plain_only,
)

__all__ = ["OPERATIONS", "Kernel", "Operation", "kernel", "operation", "plain", "plain_only"]
