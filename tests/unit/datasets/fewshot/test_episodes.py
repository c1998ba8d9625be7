"""Tasks drawn from a domain: what holds for all, and what one of them is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from picotrain.datasets.fewshot import PUBLISHED, Domain, Rule, augmented, sample_episode
from picotrain.errors import UserError


def domain(*sizes: int, name: str = "made-up") -> Domain:
    """Classes of these sizes; image n has the bytes of n in its first pixels."""
    count = sum(sizes)
    images = np.zeros((count, 32, 32, 1), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 1, 0] = np.arange(count) % 256, np.arange(count) // 256
    labels = np.repeat(np.arange(len(sizes), dtype=np.uint8), sizes)
    # Not by class, so that nothing rests on the order.
    mixed = np.random.default_rng(1).permutation(count)
    return Domain(name, images, labels[mixed], "nowhere", {})


MANY = domain(*range(30, 150, 2))
"""60 classes."""


# What NumPy's generator gives for seed 0 and number 3.
CLASSES, SHAPE = (23, 11, 22, 53, 40), (39, 480, 390)
DIGEST = "0eff1b48247931cc1a6dceda7f41207dbd371a6715c0347474a285eb4618b207"


@pytest.mark.parametrize("number", range(40))
def test_what_holds_for_every_task(number: int) -> None:
    episode = sample_episode(MANY, 7, number)
    ways = episode.ways
    assert 5 <= ways <= 50
    assert len(set(episode.classes)) == ways
    sizes = [len(MANY.members(label)) for label in episode.classes]
    tests = min(10, min(sizes) // 2)
    assert np.bincount(episode.query.labels).tolist() == [tests] * ways
    shots = np.bincount(episode.support.labels, minlength=ways)
    assert ways <= shots.sum() <= 500
    for count, size in zip(shots.tolist(), sizes, strict=True):
        assert 1 <= count <= size - tests
    everything = np.concatenate([episode.support_images, episode.query_images])
    assert len(set(everything.tolist())) == len(everything)
    for split, numbers in (
        (episode.support, episode.support_images),
        (episode.query, episode.query_images),
    ):
        assert (MANY.labels[numbers] == np.array(episode.classes)[split.labels]).all()
        assert (split.images == MANY.images[numbers]).all()
        assert split.labels.dtype == np.uint8


def test_a_task_is_that_of_its_seed_domain_and_number() -> None:
    first = sample_episode(MANY, 0, 3)
    assert first.digest() == sample_episode(MANY, 0, 3).digest()
    others = [
        sample_episode(MANY, 1, 3),
        sample_episode(MANY, 0, 4),
        sample_episode(replace(MANY, name="other"), 0, 3),
    ]
    assert len({first.digest(), *(other.digest() for other in others)}) == 4
    assert first.classes[:5] == CLASSES
    assert (first.ways, len(first.support), len(first.query)) == SHAPE
    assert first.digest() == DIGEST


def test_ways_are_uniform_and_sizes_spread() -> None:
    episodes = [sample_episode(MANY, 0, number) for number in range(300)]
    ways = np.array([episode.ways for episode in episodes])
    assert (ways.min(), ways.max()) == (5, 50)
    # Uniform in 5..50: mean 27.5, standard error 0.77.
    assert abs(ways.mean() - 27.5) < 2.5
    sizes = np.array([len(episode.support) for episode in episodes])
    assert sizes.max() <= 500
    assert sizes.min() < 40
    assert (sizes > 480).mean() > 0.3


def test_few_classes_are_all_of_the_ways() -> None:
    episode = sample_episode(domain(20, 40, 60, 80, 100), 0, 0)
    assert sorted(episode.classes) == [0, 1, 2, 3, 4]
    assert len(episode.query) == 5 * 10


def test_the_smallest_class_says_how_many_test() -> None:
    assert len(sample_episode(domain(7, 40, 60, 80, 100), 0, 0).query) == 5 * 3


def test_larger_classes_get_larger_shares() -> None:
    two = domain(20, 400, 400, 400, 400)
    shots = np.zeros(5)
    for number in range(50):
        episode = sample_episode(two, 0, number)
        shots[list(episode.classes)] += np.bincount(episode.support.labels, minlength=5)
    assert shots[0] < 0.2 * shots[1:].min()
    assert shots[1:].max() < 1.5 * shots[1:].min()


def test_ways_and_shots_of_ones_own() -> None:
    episode = sample_episode(MANY, 0, 0, Rule(ways=6, shots=4, query=3))
    assert np.bincount(episode.support.labels).tolist() == [4] * 6
    assert np.bincount(episode.query.labels).tolist() == [3] * 6


def test_a_track_stays_on_one_side() -> None:
    plain = domain(60, 60, 60, 60, 60)
    tracked = replace(plain, tracks=plain.labels.astype(np.intp) * 8 + np.arange(300) % 8)
    assert tracked.tracks is not None
    for number in range(20):
        episode = sample_episode(tracked, 0, number)
        learnt = set(tracked.tracks[episode.support_images].tolist())
        tested = set(tracked.tracks[episode.query_images].tolist())
        assert not learnt & tested
        assert np.bincount(episode.query.labels).tolist() == [10] * 5


def test_short_tracks_test_until_there_are_enough() -> None:
    plain = domain(24, 24, 24, 24, 24)
    tracks = np.zeros(120, np.intp)
    for label in range(5):
        # One of 21 images and three of one each.
        tracks[plain.members(label)] = label * 4 + np.array([0] * 21 + [1, 2, 3])
    with pytest.raises(UserError, match=r"class \d of domain made-up has 4 tracks, too few"):
        for number in range(20):
            sample_episode(replace(plain, tracks=tracks), 0, number)


def test_classes_of_a_task_are_of_one_family() -> None:
    families = np.repeat(np.arange(6), 10)
    grouped = replace(MANY, families=families)
    seen = set()
    for number in range(40):
        episode = sample_episode(grouped, 0, number)
        assert episode.ways <= 10
        found = set(families[list(episode.classes)].tolist())
        assert len(found) == 1
        seen |= found
    assert seen == set(range(6))


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(UserError, match="made-up has 60 classes, fewer than 61 ways; ask for 60"):
        sample_episode(MANY, 0, 0, Rule(ways=61))
    with pytest.raises(UserError, match="made-up has 3 classes, fewer than 5 ways"):
        sample_episode(domain(9, 9, 9), 0, 0)
    with pytest.raises(UserError, match="cannot have 1 ways"):
        sample_episode(MANY, 0, 0, Rule(ways=1))
    with pytest.raises(UserError, match="class 2 of domain made-up has 1 images, too few to learn"):
        sample_episode(domain(9, 9, 1, 9, 9), 0, 0)
    with pytest.raises(UserError, match=r"20 \+ 10 images of each class are more than the 29 of"):
        sample_episode(domain(40, 40, 40, 40, 29), 0, 0, Rule(shots=20))
    grouped = replace(MANY, families=np.repeat(np.arange(12), 5))
    with pytest.raises(UserError, match="no family of domain made-up has 6 classes"):
        sample_episode(grouped, 0, 0, Rule(ways=6))
    with pytest.raises(UserError, match="20 ways need as many images to learn from, more than 10"):
        sample_episode(MANY, 0, 0, Rule(ways=20, support=10))
    with pytest.raises(UserError, match="the seed is -1"):
        sample_episode(MANY, -1, 0)
    with pytest.raises(UserError, match="give images"):
        Domain("flat", np.zeros((2, 28, 28, 1), np.uint8), np.zeros(2, np.uint8), "", {})


def test_the_published_rule() -> None:
    assert Rule(None, None, 5, 50, 10, 500, 100) == PUBLISHED


def test_augmented_views_are_shifted_and_mirrored() -> None:
    image = np.random.default_rng(3).integers(1, 256, (1, 32, 32, 1)).astype(np.uint8)
    many = np.repeat(image, 200, axis=0)
    random = np.random.default_rng(0)
    for mirror in (False, True):
        views = {
            (down, across, turn): np.roll(
                np.pad(image[0], ((3, 3), (3, 3), (0, 0))), (-down, -across), (0, 1)
            )[:32, :32][:, :: -1 if turn else 1].tobytes()
            for down in range(7)
            for across in range(7)
            for turn in range(2 if mirror else 1)
        }
        made = {view.tobytes() for view in augmented(many, mirror, random)}
        assert made <= set(views.values())
        assert len(made) > len(views) * 0.6
    assert (many == image).all()
