"""How many workers read images where /dev/shm is small. A small one is mounted for real where that is allowed."""

import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from src.data import shared_memory
from src.data.shared_memory import fit_workers, share

MB = 1 << 20


@pytest.mark.parametrize(
    ("free", "wanted", "batch", "sharers", "fitting"),
    [
        (64, 8, 10, 1, (4, 1)),
        (64, 2, 10, 1, (2, 2)),
        (64, 3, 10, 1, (3, 1)),
        (64, 2, 10, 2, (1, 1)),
        (64, 8, 30, 1, (0, 2)),
        (64, 8, 100, 1, (0, 2)),
        (8000, 8, 10, 1, (8, 2)),
        (1, 0, 10, 1, (0, 2)),
    ],
)
def test_what_fits(monkeypatch, free, wanted, batch, sharers, fitting):
    monkeypatch.setattr(shared_memory.shutil, "disk_usage", lambda _: SimpleNamespace(free=free * MB))
    assert fit_workers(wanted, batch * MB, sharers) == fitting


def test_without_such_a_place_all_fit(monkeypatch, tmp_path):
    monkeypatch.setattr(shared_memory, "SHARED", tmp_path / "none")
    assert fit_workers(8, 1 << 50) == (8, 2)


def test_room_that_comes_in_a_moment_is_waited_for(monkeypatch):
    free = iter([0, 0, 1 << 20])
    monkeypatch.setattr(shared_memory.shutil, "disk_usage", lambda _: SimpleNamespace(free=next(free)))
    part = share(torch.arange(3))
    assert part.is_shared()
    assert part.tolist() == [0, 1, 2]
    assert next(free, None) is None


IN_SMALL = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size="$0" tmpfs /dev/shm && exec "$@"']
MAY_MOUNT = (
    shutil.which("unshare") is not None
    and subprocess.run([*IN_SMALL, "1m", "true"], capture_output=True, check=False).returncode == 0
)
SCRIPT = """
import sys
from src.data.module import ImageDataModule
data = ImageDataModule(name="folder", root=sys.argv[1], image_size=64, batch_size=16, num_workers=4)
data.setup()
for loader in (data.train_dataloader(), data.val_dataloader()):
    print(loader.num_workers, loader.prefetch_factor, sum(len(images) for images, _ in loader))
"""


@pytest.mark.skipif(not MAY_MOUNT, reason="mounting is not allowed here")
@pytest.mark.parametrize(("size", "loaders"), [("1m", "3 1 97\n0 None 11\n"), ("64k", "0 None 97\n0 None 11\n")])
def test_batches_come_through_a_small_one(make_folder, size, loaders):
    """A batch is 192 kB, one of validation twice that; /dev/shm is mounted for this process alone."""
    root = make_folder({"cat": 60, "dog": 60})
    command = [*IN_SMALL, size, sys.executable, "-c", SCRIPT, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout == loaders, done.stderr
    assert done.stderr.count("/dev/shm is too small for the batches of 4 processes") == 1
