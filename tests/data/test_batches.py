import numpy as np
import pytest

from src.data.batches import EpochBatchSampler
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
@pytest.mark.parametrize("smallest", [1, 2])
def test_processes_share_every_image_once_in_equally_many_batches(size, smallest):
    shares = [
        [b.indices for b in EpochBatchSampler(size, 4, shuffle=True, smallest=smallest, rank=rank, world_size=3)]
        for rank in range(3)
    ]
    assert len({len(share) for share in shares}) == 1
    assert min(len(indices) for share in shares for indices in share) >= smallest
    assert sorted(np.concatenate([indices for share in shares for indices in share])) == list(range(size))


def test_more_processes_than_images():
    with pytest.raises(InputError, match="too few for 4 processes"):
        EpochBatchSampler(3, 4, shuffle=False, world_size=4)
