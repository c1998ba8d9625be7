"""A new last layer for a network that keeps all others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from picotrain.datasets.dataset import Split
from picotrain.quantise.arithmetic import logits_scale, multiplier
from picotrain_golden import Network, Parameters
from picotrain_golden.network import Affine, linear
from picotrain_golden.passes import forward_pass

STRENGTH = 0.1
"""Inverse regularisation of the logistic regression, over standardised features."""


def with_head(network: Network, classes: int, known: Split) -> Network:
    """The network with a linear layer for `classes` in place of its last one.

    In floating point: logistic regression on what golden gives the last layer of the images in
    `known`; then int8 weights with a scale for each row, and logits in nats whose scale holds
    those of the known images.
    """
    from sklearn.linear_model import LogisticRegression

    *kept, _ = network.layers
    *numbers, _ = network.affine
    body = Network("body", network.input_shape, tuple(kept), network.parameters[:-1], (*numbers,))
    zero = numbers[-1].zero_out
    weights8 = [None if held is None else held.weights for held in body.parameters]
    done = forward_pass(body, weights8, known.images, dynamic=False)
    seen = done.logits.astype(np.float64) - zero
    mean, deviation = seen.mean(axis=0), seen.std(axis=0) + 1e-9
    fitted = LogisticRegression(C=STRENGTH, max_iter=2000)
    fitted.fit((seen - mean) / deviation, known.labels)
    weights = fitted.coef_ / deviation
    bias = fitted.intercept_ - weights @ mean
    scales = np.abs(weights).max(axis=1) / 127.0
    logits = seen @ weights.T + bias
    low, high = min(float(logits.min()), 0.0), max(float(logits.max()), 0.0)
    step = (high - low) / 255.0
    zero_out = round(-128 - low / step)
    factors = [multiplier(float(scale) / step) for scale in scales]
    head = Affine(
        (zero,),
        zero_out,
        -128,
        127,
        np.rint(bias / scales).astype(np.int32),
        np.array([m for m, _ in factors], np.int32),
        np.array([s for _, s in factors], np.int32),
    )
    held = Parameters(np.rint(weights / scales[:, np.newaxis]).astype(np.int8), 0)
    return replace(
        network,
        layers=(*kept, linear(kept[-1].out_shape, classes, False)),
        parameters=(*network.parameters[:-1], held),
        affine=(*numbers, head),
        logits_scale=logits_scale(step)[0],
    )
