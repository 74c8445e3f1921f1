"""Any file in a data folder is decoded, or listed with its reason: broken, slow, hungry or deadly to its decoder."""

import multiprocessing
import os
import signal
import struct
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from src.data import ImageDataModule, processes
from src.data import datasets as reading
from src.data import defects as scanning
from src.data.defects import find_defects
from src.data.processes import map_files
from src.errors import RunError
from tests.data.mutations import SIDES, mutate, samples, seal

SEED = 7
SECONDS = 5  # of the processor, for one file


@pytest.fixture(autouse=True)
def warnings_as_in_the_product() -> Iterator[None]:
    """pytest makes errors of warnings, so of Pillow's too, which `src.data.images` ignores."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


@pytest.fixture
def times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a line for each reading in any process, in the scan or in training: seconds and name."""
    log = tmp_path / "times.txt"

    def watched(read):
        def timed(path, *rest):
            start = time.process_time()
            try:
                return read(path, *rest)
            finally:
                with log.open("a") as file:  # one write: whole lines also from two processes
                    file.write(f"{time.process_time() - start:.3f} {Path(path).name}\n")

        return timed

    for module, name in ((scanning, "find_defect"), (reading, "load_image"), (reading, "load_augmented")):
        monkeypatch.setattr(module, name, watched(getattr(module, name)))
    return log


def write_mutants(root: Path, count: int) -> None:
    """`root/{even,odd}/0007_png-rgb.png`, all samples in turn, each broken by a seed of its own; and whole ones."""
    whole = samples()
    for name in ("even", "odd"):
        (root / name).mkdir(parents=True)
    for number in range(count):
        sample = list(whole)[number % len(whole)]
        content = mutate(whole[sample], np.random.default_rng((SEED, number)), list(whole.values()))
        (root / ("even", "odd")[number // 2 % 2] / f"{number:04d}_{sample}.{sample.split('-')[0]}").write_bytes(content)
    for number, (sample, content) in enumerate(whole.items()):
        (root / ("even", "odd")[number % 2] / f"whole_{sample}").write_bytes(content)


def read_all(root: Path) -> tuple[list[str], list[tuple[str, str]], int]:
    """What the scan takes, what it leaves out and why, and how many of the former training has then really read."""
    data = ImageDataModule(
        name="folder", root=root, image_size=48, in_channels=3, mean=[0.5] * 3, std=[0.5] * 3, batch_size=16,
        num_workers=2, max_skipped=1.0, augment={"flip": True, "shift": 0, "scale": 0.35, "color": 0.2},
    )  # fmt: skip
    data.setup()
    loaders = (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
    read = sum(len(targets) for loader in loaders for _, targets in loader)
    assert sum(data.size(split) for split in ("train", "val", "test")) == len(data.found.paths)
    return data.found.paths, [(item.path, item.reason) for item in data.skipped], read


@pytest.mark.parametrize("count", [69, pytest.param(1000, marks=pytest.mark.slow)])
def test_every_mutant_is_decoded_or_listed(count, tmp_path, monkeypatch, times, capfd):
    write_mutants(tmp_path / "images", count)
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("images/**/*"))
    monkeypatch.setenv("RESLENS_CACHE", str(tmp_path / "first"))
    paths, skipped, read = read_all(tmp_path / "images")
    monkeypatch.setenv("RESLENS_CACHE", str(tmp_path / "second"))
    assert read_all(tmp_path / "images") == (paths, skipped, read)
    files = [f"{path.parent.name}/{path.name}" for path in (tmp_path / "images").glob("*/*")]
    assert sorted([*paths, *(path for path, _ in skipped)]) == sorted(files)
    assert read == len(paths)
    assert {path.split("/")[1] for path in paths if "whole" in path} == {f"whole_{name}" for name in samples()}
    assert all(reason and "\n" not in reason and len(reason) <= 200 for _, reason in skipped)
    assert before == sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("images/**/*"))
    slowest = max((line.split() for line in times.read_text().splitlines()), key=lambda line: float(line[0]))
    assert float(slowest[0]) < SECONDS, slowest
    assert capfd.readouterr() == ("", "")  # libtiff prints, left to itself
    kinds = {"decoded": paths, "skipped": [path for path, _ in skipped]}
    counts = {verdict: Counter(Path(p).suffix for p in found if "whole" not in p) for verdict, found in kinds.items()}
    assert min(len(found) for found in counts.values()) >= 4
    with capfd.disabled():
        print(f"\n{count} mutants, {counts}, the slowest in {slowest[0]} s of the processor")


# Decoders that crash, hang or devour memory, and processes that somebody kills ----------------------------------------


def behave(path: str) -> str:
    """A decoder whose files say what they do to it."""
    if "segfault" in path:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "abort" in path:
        os.abort()
    if "hang" in path:
        time.sleep(1000)
    if "killed" in path:
        os.kill(os.getpid(), signal.SIGKILL)
    if "bug" in path:
        raise LookupError(path)
    if "hungry" in path:
        np.empty(2 * processes.MEMORY, dtype=np.uint8)
    return f"read {path}"


@pytest.mark.parametrize("count", [10, 700])
def test_what_ends_a_process_is_named_and_all_else_is_read(count, monkeypatch, capfd):
    monkeypatch.setattr(processes, "SECONDS", 1)
    paths = [f"{number}.jpg" for number in range(count)]
    paths[0], paths[4], paths[5], paths[-1] = "segfault", "hang", "abort", "segfault too"
    found = dict(zip(paths, map_files(behave, paths, "Reading", lost=str), strict=True))
    assert found.pop("segfault") == found.pop("segfault too") == "crashes its decoder (SIGSEGV)"
    assert found.pop("abort") == "crashes its decoder (SIGABRT)"
    assert found.pop("hang") == "takes over 1 s to decode"
    assert found == {path: f"read {path}" for path in found}
    assert len(found) == count - 4
    assert capfd.readouterr() == ("", "")


def test_without_a_result_for_it_the_file_is_named_in_an_error():
    with pytest.raises(RunError, match=r"Reading: 'segfault' crashes its decoder \(SIGSEGV\)\. Remove it"):
        map_files(behave, ["a", "segfault", "b"], "Reading")


def test_a_process_that_is_killed_is_no_verdict_on_its_file():
    with pytest.raises(RunError, match=r"a process was killed at 'killed', perhaps for want of memory"):
        map_files(behave, ["a", "killed", "b"], "Reading", lost=str)


def large(number: int) -> bytes:
    return number.to_bytes(4, "big") * 10_000


def test_processes_killed_in_the_middle_of_an_answer_stop_nothing(monkeypatch):
    """Where workers share a pipe and its lock, as in a pool, the others would wait for them forever."""
    killed = []

    @contextmanager
    def bar(*_args, **_options) -> Iterator[Callable[[int], None]]:
        def advance(_done: int) -> None:
            if not killed:
                time.sleep(0.3)  # by now they are blocked: an answer is larger than a pipe, and nobody reads it
                for process in multiprocessing.active_children():
                    process.kill()
                    killed.append(process.pid)

        yield advance

    monkeypatch.setattr(processes, "file_progress", bar)
    files = list(range(300))
    assert map_files(large, files, "Reading") == [large(number) for number in files]
    assert killed
    assert not multiprocessing.active_children()


def test_an_error_is_raised_here_as_it_was_there():
    with pytest.raises(LookupError, match="bug"):
        map_files(behave, ["a", "bug"], "Reading", lost=str)
    with pytest.raises(LookupError, match="bug"):  # also from the process that looks for the culprit
        map_files(behave, ["segfault", "bug"], "Reading", lost=str)


def test_memory_has_an_end(monkeypatch):
    monkeypatch.setattr(processes, "MEMORY", 1 << 28)
    with pytest.raises(MemoryError):
        map_files(behave, ["a", "hungry"], "Reading", lost=str)


def test_crashes_and_hangs_of_a_scan_are_skipped_and_slow_ones_tried_again(make_folder, monkeypatch):
    root = make_folder({"cat": 3, "dog": 3})
    real = scanning.look_at
    monkeypatch.setattr(processes, "SECONDS", 1)

    def deadly(path: str, **options):
        if path.endswith("cat/001.png"):
            os.kill(os.getpid(), signal.SIGSEGV)
        if path.endswith("dog/002.png"):
            time.sleep(1000)
        return real(path, **options)

    monkeypatch.setattr(scanning, "look_at", deadly)
    assert left_out(root) == {"cat/001.png": "crashes its decoder (SIGSEGV)", "dog/002.png": "takes over 1 s to decode"}
    monkeypatch.setattr(scanning, "look_at", real)
    assert left_out(root) == {"cat/001.png": "crashes its decoder (SIGSEGV)"}


def left_out(root: Path) -> dict[str, str]:
    data = ImageDataModule(name="folder", root=root, image_size=8, in_channels=3, mean=[0.5], std=[0.5], max_skipped=1)
    data.prepare_data()
    return {item.path: item.reason for item in data.skipped}


def note(folder: Path, path: str) -> None:
    (folder / f"{os.getpid()}").touch()
    time.sleep(0.5)


def test_workers_die_with_their_parent(tmp_path):
    """`kill -9` while files are read: a pool's workers would wait for work for ever."""

    files = [str(number) for number in range(1000)]
    parent = multiprocessing.get_context("fork").Process(target=map_files, args=(partial(note, tmp_path), files, ""))
    parent.start()
    deadline = time.monotonic() + 30
    while not (workers := [int(path.name) for path in tmp_path.iterdir()]) and time.monotonic() < deadline:
        time.sleep(0.02)
    parent.kill()
    parent.join()
    while any(Path(f"/proc/{worker}").exists() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert workers
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def test_bombs_are_refused_unopened(tmp_path):
    """A few kB that say they are 400 million pixels and more."""
    whole = samples()
    bombs = {
        "bomb.png": whole["png-palette"].replace(struct.pack(">II", *SIDES), struct.pack(">II", 20000, 20000), 1),
        "bomb.gif": whole["gif-animated"].replace(struct.pack("<HH", *SIDES), b"\xff" * 4, 1),
        "bomb.jpg": whole["jpeg-progressive"].replace(struct.pack(">HH", *SIDES[::-1]), b"\xff\xdc" * 2, 1),
        "bomb.bmp": whole["bmp-runs"].replace(struct.pack("<ii", *SIDES), struct.pack("<ii", 20000, 20000), 1),
        "bomb.tiff": whole["tiff-group4"]
        .replace(struct.pack("<HHIHH", 256, 3, 1, SIDES[0], 0), struct.pack("<HHIHH", 256, 3, 1, 60000, 0), 1)
        .replace(struct.pack("<HHIHH", 257, 3, 1, SIDES[1], 0), struct.pack("<HHIHH", 257, 3, 1, 60000, 0), 1),
    }
    for name, content in bombs.items():
        (tmp_path / name).write_bytes(seal(content) if name == "bomb.png" else content)
    started = sum(os.times()[2:4])
    assert [verdict.reason for verdict in find_defects(tmp_path, list(bombs))] == [
        "too large (over 179 million pixels)"
    ] * len(bombs)
    assert sum(os.times()[2:4]) - started < 2  # of all processors
