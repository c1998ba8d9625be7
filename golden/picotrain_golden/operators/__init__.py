"""Operators of affine layers, a class for each kind: docs/numerics.md section 14."""

from picotrain_golden.network import Kind
from picotrain_golden.operators.add import Add
from picotrain_golden.operators.base import Operator
from picotrain_golden.operators.convolution import Convolution
from picotrain_golden.operators.depthwise import Depthwise
from picotrain_golden.operators.linear import Linear
from picotrain_golden.operators.pooling import AveragePool, MaximumPool

OPERATORS: dict[Kind, Operator] = {
    "conv2d": Convolution(),
    "depthwise": Depthwise(),
    "linear": Linear(),
    "maxpool": MaximumPool(),
    "avgpool": AveragePool(),
    "add": Add(),
}

__all__ = ["OPERATORS", "Operator"]
