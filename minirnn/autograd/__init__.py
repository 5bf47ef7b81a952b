"""Tensors that remember how they were made; `differentiable` makes an array function take them."""

from minirnn.autograd.tensor import OPERATIONS, Tensor, data_of, differentiable, no_grad

__all__ = ["OPERATIONS", "Tensor", "data_of", "differentiable", "no_grad"]
