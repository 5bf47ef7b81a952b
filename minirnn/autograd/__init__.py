"""Tensors that know how they were made, and the operations that make them."""

from minirnn.autograd import arithmetic, reduction, shape  # they give Tensor its operators
from minirnn.autograd.tensor import OPERATIONS, Tensor, data_of, differentiable, no_grad

__all__ = [
    "OPERATIONS",
    "Tensor",
    "arithmetic",
    "data_of",
    "differentiable",
    "no_grad",
    "reduction",
    "shape",
]
