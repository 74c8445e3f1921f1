"""Checkpoints that are cut off or flipped: named, passed over, and the newest good one is gone on from."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from src.resuming.starting_point import last_whole
from src.runs.folder import RunFolder
from tests.support.command_line import run_here
from tests.support.launched import Launched
from tests.support.short_run import RUN, digest, epochs

Damage = Callable[[bytes], bytes]


def cut(share: float) -> Damage:
    return lambda content: content[: int(share * len(content))]


def flip(count: int, seed: int) -> Damage:
    """Flip a bit each in `count` different bytes."""

    def damage(content: bytes) -> bytes:
        random = np.random.default_rng(seed)
        flipped = np.frombuffer(content, np.uint8).copy()
        places = random.choice(len(content), count, replace=False)
        flipped[places] ^= (1 << random.integers(8, size=count)).astype(np.uint8)
        return flipped.tobytes()

    return damage


DAMAGES = {
    **{f"cut at {share:.0%}": cut(share) for share in (0.0, 0.01, 0.5, 0.99)},
    "100 bytes flipped": flip(100, seed=0),
}


@pytest.fixture(scope="module")
def killed(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed in its third epoch. Don't write."""
    folder = tmp_path_factory.mktemp("killed")
    with Launched(*RUN, f"data.root={photos}", cwd=folder) as command:
        while 2 not in epochs(folder / "run"):
            assert command.is_alive(), command.said
            time.sleep(0.005)
    return folder / "run"


@pytest.fixture
def run(killed: Path, tmp_path: Path) -> RunFolder:
    """A copy that may be damaged."""
    return RunFolder(shutil.copytree(killed, tmp_path / "run"))


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_is_named_and_passed_over(
    damage: Damage, run: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    assert last_whole(run) == run.last_checkpoint
    content = run.last_checkpoint.read_bytes()
    run.last_checkpoint.write_bytes(damage(content))
    assert last_whole(run) == run.best_checkpoint
    assert f"{run.last_checkpoint} is passed over: " in caplog.text
    run.best_checkpoint.write_bytes(damage(run.best_checkpoint.read_bytes()))
    assert last_whole(run) is None
    assert f"{run.best_checkpoint} is passed over: " in caplog.text


def test_a_folder_in_a_checkpoints_place_is_named(run: RunFolder, tmp_path: Path) -> None:
    run.last_checkpoint.unlink()
    run.last_checkpoint.mkdir()
    result = run_here("resume=run", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert "last.ckpt is a folder: move it away" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "both"),
    [(cut(0.5), False), (flip(100, seed=1), False), (cut(0.0), True)],
    ids=["last cut", "last flipped", "last and best empty"],
)
def test_the_run_ends_in_the_same_bits(
    damage: Damage, both: bool, run: RunFolder, undisturbed: tuple[Path, float], tmp_path: Path
) -> None:
    """It goes on from the best checkpoint, or begins again where that is damaged too."""
    damaged = [run.last_checkpoint, *([run.best_checkpoint] if both else [])]
    for file in damaged:
        file.write_bytes(damage(file.read_bytes()))
    result = run_here("resume=run", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    for file in damaged:
        assert f"{file.name} is passed over: " in result.stdout
    assert ("there is no whole checkpoint: the run begins again" in result.stdout) == both
    assert digest(run.path) == digest(undisturbed[0])
