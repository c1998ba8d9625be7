"""What `infer` counts, and how it is shown where there are many classes."""

from __future__ import annotations

import numpy as np

from picotrain.cli.learn.infer import _for_people
from picotrain.learn.field.infer import Inference

RAM: dict[str, int | None] = {"total": None, "network": 5}


def inference(labels: list[int], predictions: list[int], classes: int) -> Inference:
    pair = (np.array(labels, np.int64), np.array(predictions, np.int64))
    return Inference(*pair, classes, 1000.0, "cycle model", 0.008, RAM, 0)


def test_every_image_is_counted_once() -> None:
    done = inference([0, 0, 2, 2, 2], [0, 1, 2, 1, 2], 4)
    assert done.accuracy == 0.6
    assert done.confusion.tolist() == [[1, 1, 0, 0], [0] * 4, [0, 1, 2, 0], [0] * 4]
    assert done.by_class()[1:3] == [
        {"class": 1, "images": 0, "correct": 0, "accuracy": None, "predicted": 2},
        {"class": 2, "images": 3, "correct": 2, "accuracy": 2 / 3, "predicted": 2},
    ]


def test_few_classes_are_a_matrix() -> None:
    lines = _for_people(inference([0, 0, 2, 2, 2], [0, 1, 2, 1, 2], 3)).splitlines()
    assert lines[:6] == [
        "accuracy   0.6000, 3 of 5",
        "class  images  right  accuracy  as 0  as 1  as 2",
        "-----  ------  -----  --------  ----  ----  ----",
        "    0       2      1    0.5000     1     1",
        "    1       0      0",
        "    2       3      2    0.6667           1     2",
    ]
    assert lines[6] == "inference  1,000 cycles, 0.0 ms an image (cycle model at 125 MHz)"


def test_many_classes_are_their_worst_mistakes() -> None:
    labels = [7] * 5 + [30] * 3
    lines = _for_people(inference(labels, [7, 9, 9, 9, 8, 30, 2, 2], 40)).splitlines()
    assert lines[1:8] == [
        "class  images  right  accuracy",
        "-----  ------  -----  --------",
        "    7       5      1    0.2000",
        "   30       3      1    0.3333",
        "3 of class 7 taken for 9",
        "2 of class 30 taken for 2",
        "1 of class 7 taken for 8",
    ]
