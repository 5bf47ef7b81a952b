"""Tensors that know how they were made, and how an array function becomes one of Tensors."""

from minirnn.autograd.tensor import OPERATIONS, Tensor, data_of, differentiable, no_grad

__all__ = ["OPERATIONS", "Tensor", "data_of", "differentiable", "no_grad"]
