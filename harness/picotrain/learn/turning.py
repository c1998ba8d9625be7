"""By how much images are turned: the one place that decides it, for every verb and for grids."""

from __future__ import annotations

from picotrain.datasets import Dataset
from picotrain.errors import UserError

CALIBRATION_ANGLE = 45
"""Degrees either way, of images that are going to be turned."""

MOST = 360
"""Degrees either way that images are turned by; more is a slip of the pen."""

LEAST_SIDE = 4
"""Pixels. What has a shorter side, such as a row of features or the axes of an accelerometer over
time, is no picture: turned, most of it is outside."""


def angle_of(dataset: Dataset, given: float | None) -> float:
    """The angle that was given, or else the data set's own: 0 unless it is there to be turned.

    Raises UserError for more than a full turn, and for an angle of what cannot be turned: a
    device's own images, or no pictures.
    """
    angle = dataset.angle if given is None else given
    if not -MOST <= angle <= MOST:
        raise UserError(f"the angle is {angle:g}; use degrees from {-MOST} to {MOST}")
    if angle != 0 and "device-train" in dataset.splits:
        raise UserError(
            f"the angle is {angle:g}, but data set {dataset.name} has images of the device's own "
            "to adapt to, which are not turned; use 0, or leave it out"
        )
    if angle != 0:
        _check_picture(dataset, "angle", angle)
    return angle


def calibration_angle_of(dataset: Dataset, given: int | None, angle: float = 0.0) -> int:
    """By how many degrees calibration turns images, either way: what was given, or else 45 where
    the device's images are turned, by the data set's own angle or by `angle`, and 0 elsewhere."""
    if given is None:
        return CALIBRATION_ANGLE if dataset.angle != 0 or angle != 0 else 0
    if given != 0:
        _check_picture(dataset, "calibration angle", given)
    return given


def in_words(angle: float) -> str:
    """What is said behind the name of a data set."""
    return f"rotated by {angle:g} degrees" if angle else "as they are"


def _check_picture(dataset: Dataset, what: str, angle: float) -> None:
    height, width, _ = dataset.image_shape
    if dataset.frames:
        raise UserError(
            f"the {what} is {angle:g}, but data set {dataset.name} is of frames, one after the "
            "other: no picture that could be turned; use 0, or leave it out"
        )
    if min(height, width) < LEAST_SIDE:
        raise UserError(
            f"the {what} is {angle:g}, but the images of data set {dataset.name} are {height}x"
            f"{width}: no picture that could be turned (from {LEAST_SIDE} pixels a side); use 0, "
            "or leave it out"
        )
