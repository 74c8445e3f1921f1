"""Shared by all tests: configurations composed as the command line does, and a cache that isn't the user's own."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

# Before torch is imported, here and in the processes that tests start: on a machine where other work is running, two
# threads that wait for each other took five times as long as one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

ROOT = Path(__file__).parent.parent
# `python -m src.VERB` in another folder is this tree's, too.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))


LAUNCHERS = {"run_here", "Launched", "subprocess", "train", "train_shuffled"}
TRAINED = {"digits_run", "undisturbed"}
LONG = (
    "test_class_image.py",
    "test_planted_evidence.py",
    "resnet101",
    "resnet152",
    "wide_resnet",
    "110]",
    "among_real",
)
"""Parts of the names of unit tests that take seconds each: large networks, optimised images."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as `whole` what starts verbs or needs a trained run: `make test-fast` leaves it out."""
    for item in items:
        starts = not LAUNCHERS.isdisjoint(vars(getattr(item, "module", None) or object()))
        long = any(part in item.nodeid for part in LONG)
        if starts or long or not TRAINED.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker("whole")


@pytest.fixture(autouse=True, scope="session")
def signals_reach_what_tests_start() -> None:
    """What a shell starts in the background ignores Ctrl-C, and under nohup SIGHUP, and so would its children."""
    answers = (("SIGINT", signal.default_int_handler), ("SIGHUP", lambda *_: None))
    for name, answer in answers:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, answer)  # any answer of Python's becomes the usual one in a child


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESLENS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def config() -> Callable[..., DictConfig]:
    """`config("model=simple_cnn", …)`: the composed train configuration."""
    from src.settings import composing as composing  # registers what conf/ refers to

    def composed(*overrides: str) -> DictConfig:
        with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
            return compose("train", overrides=list(overrides))

    return composed


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run: simple_cnn on scikit-learn's digits at 16×16, trained for 4 epochs. Don't write."""
    from src.train import train

    folder = tmp_path_factory.mktemp("trained") / "run"
    overrides = [
        "model=simple_cnn", "model.width=16", "data.image_size=16", "trainer=cpu", "trainer.precision=32-true",
        "trainer.max_epochs=4", "data.batch_size=32", "callbacks=none", "logger=none", "baseline=false", "cost=false",
    ]  # fmt: skip
    with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        train(compose("train", overrides=overrides), folder)
    return folder


@pytest.fixture
def run(digits_run: Path, tmp_path: Path) -> Path:
    """A run of one's own, to write in."""
    shutil.copytree(digits_run, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small images of two classes. Don't write."""
    from tests.support.photographs import make_photos

    return make_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="session")
def undisturbed(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The run of `tests.support.short_run` as it ends undisturbed, and its processor seconds. Don't write."""
    import src.training.session  # noqa: F401  # others are forked, and have it
    from tests.support.command_line import run_here
    from tests.support.short_run import RUN

    folder = tmp_path_factory.mktemp("undisturbed")
    began = time.process_time()
    assert run_here(*RUN, f"data.root={photos}", cwd=folder).returncode == 0
    return folder / "run", time.process_time() - began
