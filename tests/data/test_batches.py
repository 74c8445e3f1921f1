import numpy as np
import pytest

from src.data.batches import EpochBatchSampler, count_repeats
from src.data.class_balance import balanced_draws
from src.errors import InputError


def orders(sampler: EpochBatchSampler) -> np.ndarray:
    return np.concatenate([batch.indices for batch in sampler])


def test_order_comes_from_seed_and_epoch_alone():
    one, other = (EpochBatchSampler(100, 8, shuffle=True, seed=4) for _ in range(2))
    np.random.default_rng(0)
    first = orders(one)
    one.set_epoch(1)
    second = orders(one)
    other.set_epoch(1)
    np.testing.assert_array_equal(orders(other), second)
    other.set_epoch(0)
    np.testing.assert_array_equal(orders(other), first)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, orders(EpochBatchSampler(100, 8, shuffle=True, seed=5)))
    assert sorted(first) == list(range(100))


def test_evaluation_keeps_the_order_and_numbers_its_batches():
    batches = list(EpochBatchSampler(10, 4, shuffle=False))
    assert [batch.indices.tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [(batch.epoch, batch.number) for batch in batches] == [(0, 0), (0, 1), (0, 2)]


@pytest.mark.parametrize(("size", "sizes"), [(9, [4, 5]), (10, [4, 4, 2]), (8, [4, 4]), (5, [5]), (3, [3])])
def test_a_single_image_joins_the_batch_before(size, sizes):
    sampler = EpochBatchSampler(size, 4, shuffle=True, smallest=2)
    assert [len(batch.indices) for batch in sampler] == sizes
    assert len(sampler) == len(sizes)


@pytest.mark.parametrize("size", [24, 25, 26, 29, 31, 47])
@pytest.mark.parametrize("smallest", [0, 1, 2])
def test_processes_share_every_image_once_in_equally_many_batches(size, smallest):
    shares = [
        [b.indices for b in EpochBatchSampler(size, 4, shuffle=True, smallest=smallest, rank=rank, world_size=3)]
        for rank in range(3)
    ]
    assert len({len(share) for share in shares}) == 1
    assert min(len(indices) for share in shares for indices in share) >= smallest
    assert sorted(np.concatenate([indices for share in shares for indices in share])) == list(range(size))


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize("batch_size", [1, 2, 5, 8, 64, 128])
def test_processes_measure_any_number_of_images_once_each(world_size, batch_size):
    """In as many batches each, batch by batch the images that come next; nothing fills up an empty share."""
    for size in range(1, 102):
        shares = [
            list(EpochBatchSampler(size, batch_size, shuffle=False, rank=rank, world_size=world_size))
            for rank in range(world_size)
        ]
        assert {len(share) for share in shares} == {-(-size // (batch_size * world_size))}
        together = [np.sort(np.concatenate([b.indices for b in turn])) for turn in zip(*shares, strict=True)]
        np.testing.assert_array_equal(np.concatenate(together), np.arange(size))
        counts = np.array([[len(batch.indices) for batch in share] for share in shares])
        assert np.ptp(counts, axis=0).max() <= 1
        assert (counts[0] > 0).all()
        assert counts.max() <= batch_size


@pytest.mark.parametrize(("size", "smallest"), [(7, 2), (3, 1), (0, 0)])
def test_too_few_images_to_divide(size, smallest):
    with pytest.raises(InputError, match=f"{size} images are too few for 4 processes"):
        EpochBatchSampler(size, 4, shuffle=False, smallest=smallest, world_size=4)


LOPSIDED = np.repeat([0, 1, 2], [70, 25, 5])[np.random.default_rng(1).permutation(100)]


def balanced(epoch: int, seed: int = 4, **options) -> list:
    sampler = EpochBatchSampler(100, 8, shuffle=True, seed=seed, balanced=LOPSIDED, **options)
    sampler.set_epoch(epoch)
    return list(sampler)


def test_a_balanced_epoch_is_as_long_and_even_and_a_function_of_seed_and_epoch():
    epochs = [np.concatenate([batch.indices for batch in balanced(epoch)]) for epoch in range(6)]
    for order in epochs:
        assert sorted(np.bincount(LOPSIDED[order])) == [33, 33, 34]
    assert np.bincount(LOPSIDED[np.concatenate(epochs)]).tolist() == [200, 200, 200]  # the odd one goes round
    moving = EpochBatchSampler(100, 8, shuffle=True, seed=4, balanced=LOPSIDED)
    for epoch in (0, 5, 3):
        moving.set_epoch(epoch)
        np.testing.assert_array_equal(orders(moving), epochs[epoch])
    assert not np.array_equal(epochs[0], np.concatenate([batch.indices for batch in balanced(0, seed=5)]))
    assert len(set(LOPSIDED[epochs[0][:8]])) == 3  # mixed, not class by class


def test_no_image_is_drawn_again_before_all_others_of_its_class():
    members = [np.flatnonzero(target == LOPSIDED) for target in range(3)]
    draws = np.concatenate([balanced_draws(members, 100, seed=4, epoch=epoch) for epoch in range(9)])
    for images in members:
        stream = [image for image in draws if image in images]
        rounds = [stream[i : i + len(images)] for i in range(0, 300 - len(images) + 1, len(images))]
        assert all(sorted(once) == images.tolist() for once in rounds)
        assert len({tuple(once) for once in rounds}) > 1  # each time in another order


@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_share_a_balanced_epoch(world_size):
    shares = [balanced(2, rank=rank, world_size=world_size, smallest=2) for rank in range(world_size)]
    assert len({len(share) for share in shares}) == 1
    alone = np.concatenate([batch.indices for batch in balanced(2)])
    together = np.concatenate([batch.indices for share in shares for batch in share])
    assert sorted(together) == sorted(alone)
    # a repeat has a number of its own, wherever it is drawn: each (image, repeat) is there once
    drawn = [pair for share in shares for batch in share for pair in zip(batch.indices, batch.repeats, strict=True)]
    assert len(set(drawn)) == 100
    assert max(repeat for _, repeat in drawn) == 6  # 33 or 34 draws of 5 images


def test_repeats_are_counted():
    assert count_repeats(np.array([3, 1, 3, 3, 0, 1])).tolist() == [0, 0, 1, 2, 0, 1]
    assert all((batch.repeats == 0).all() for batch in EpochBatchSampler(10, 4, shuffle=True))


@pytest.mark.parametrize("world_size", [1, 4])
def test_shards_are_read_a_few_at_a_time(world_size):
    shards = np.random.default_rng(0).integers(0, 10, 512)

    def epoch(number: int) -> np.ndarray:
        samplers = [
            EpochBatchSampler(512, 8, shuffle=True, seed=4, shards=shards, rank=rank, world_size=world_size)
            for rank in range(world_size)
        ]
        for sampler in samplers:
            sampler.set_epoch(number)
        return np.stack([orders(sampler) for sampler in samplers], axis=1).ravel()

    first, second = epoch(0), epoch(1)
    np.testing.assert_array_equal(first, epoch(0))
    assert sorted(first) == sorted(second) == list(range(512))
    seen = [np.flatnonzero(shards[first] == shard) for shard in range(10)]
    spans = sorted((place[0], place[-1]) for place in seen)
    for window in (4, 8):
        assert max(end for _, end in spans[:window]) + 1 == spans[window][0], "the next four come when these are read"
    assert max(begin for begin, _ in spans[:4]) < min(end for _, end in spans[:4]), "four are mixed"
    assert list(dict.fromkeys(shards[first])) != list(dict.fromkeys(shards[second]))


def test_without_shuffling_nothing_is_balanced():
    assert orders(EpochBatchSampler(100, 8, shuffle=False, balanced=LOPSIDED)).tolist() == list(range(100))
