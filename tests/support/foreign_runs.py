"""Run folders as a stranger might pack them: with links, pipes, and small files that stand for much.

A new row in `ATTACKS` is tried on every verb that reads a run folder (`tests/test_foreign_runs.py`). It changes the
folder `run`; beside that lies `outside`, of which nothing may change.
"""

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

Attack = Callable[[Path, Path], Any]

FILES = (
    "run.json", "metrics.json", "metrics.csv", "per_class.csv", "predictions.csv", ".hydra/config.yaml",
    ".hydra/overrides.yaml", ".hydra/hydra.yaml", "checkpoints/best.ckpt", "gradcam/images.npz",
    "gradcam/epoch_001.npz",
)  # fmt: skip
FOLDERS = (".hydra", "checkpoints", "gradcam", "evaluate", "explain", "export", "predict", "figures")
"""`evaluate` and so on are not there, and are where a verb writes to unless it is told otherwise."""


OTHER_KINDS = ("metrics.csv", "metrics.json", "train.log", "events.out.tfevents.1.x", "figures")


def link_file(name: str) -> Attack:
    """The file lies outside, and a link in its place."""

    def attack(run: Path, outside: Path) -> None:
        shutil.move(run / name, outside / Path(name).name)
        (run / name).symlink_to(outside / Path(name).name)

    return attack


def link_folder(name: str) -> Attack:
    def attack(run: Path, outside: Path) -> None:
        if (run / name).exists():
            shutil.move(run / name, outside / name)
        else:
            (outside / name).mkdir()
            (outside / name / "mine.txt").write_text("mine")
        (run / name).symlink_to(outside / name)

    return attack


def dangling(name: str) -> Attack:
    def attack(run: Path, outside: Path) -> None:
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(outside / "not there yet")

    return attack


def pipe(name: str) -> Attack:
    def attack(run: Path, outside: Path) -> None:
        (run / name).unlink()
        os.mkfifo(run / name)

    return attack


def device(name: str) -> Attack:
    """As far as a test may: a link to one."""

    def attack(run: Path, outside: Path) -> None:
        (run / name).unlink()
        (run / name).symlink_to("/dev/zero")

    return attack


def other_kind(name: str) -> Attack:
    """A folder in the place of a file, or a file in that of a folder."""

    def attack(run: Path, outside: Path) -> None:
        (run / name).unlink(missing_ok=True)
        (run / name).mkdir() if "." in name else (run / name).write_text("mine")

    return attack


def hole(name: str, beginning: bytes = b"") -> Attack:
    """Ten gigabytes of nothing behind a few bytes."""

    def attack(run: Path, outside: Path) -> None:
        with (run / name).open("wb") as file:
            file.write(beginning)
            file.truncate(10_000_000_000)

    return attack


def judge(change: Callable[[dict[str, Any]], Any]) -> Attack:
    """A judge of class images beside the run, whose checkpoint is another."""

    def attack(run: Path, outside: Path) -> None:
        shutil.copytree(run, run.with_name("judge"))
        (run / "explain").mkdir()
        run.with_name("judge").rename(run / "explain" / "judge")
        file = run / "explain" / "judge" / "checkpoints" / "best.ckpt"
        content = torch.load(file, weights_only=True)
        change(content)
        torch.save(content, file)

    return attack


def giant(name: str) -> Attack:
    """Ten gigabytes that take no room: tar and rsync carry holes."""

    def attack(run: Path, outside: Path) -> None:
        with (run / name).open("ab") as file:
            file.truncate(10_000_000_000)

    return attack


def text(name: str, change: Callable[[str], str]) -> Attack:
    def attack(run: Path, outside: Path) -> None:
        (run / name).write_text(change((run / name).read_text()))

    return attack


def record(**changes: Any) -> Attack:
    """A `run.json` that says something else."""

    def change(content: str) -> str:
        return json.dumps(json.loads(content) | changes)

    return text("run.json", change)


def figures(**changes: Any) -> Attack:
    return text("metrics.json", lambda content: json.dumps(json.loads(content) | changes))


def words(*more: Any) -> Attack:
    """More overrides in `.hydra/overrides.yaml`."""
    return text(".hydra/overrides.yaml", lambda content: content + yaml.safe_dump(list(more)))


def laughs(sign: str = "") -> str:
    """YAML of a few hundred bytes that stands for a thousand million ones."""
    lines = [f"{sign}a0: &a0 [{','.join('1' * 10)}]"]
    lines += [f"{sign}a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    return "\n".join(lines) + "\n"


def growing(content: str) -> str:
    """Interpolations that stand for each other ten times each, without an alias."""
    lines = ["b0: xxxxxxxxxx", *(f"b{i}: {f'${{b{i - 1}}}' * 10}" for i in range(1, 10))]
    return content + "\n".join(lines) + "\n"


def big_array(name: str, key: str) -> Attack:
    """An array of a gigabyte in five megabytes."""

    def attack(run: Path, outside: Path) -> None:
        with np.load(run / name) as arrays:
            content = dict(arrays)
        content.pop(key)
        np.savez_compressed(run / name, **content)
        packed = zipfile.ZipFile(run / name, "a", zipfile.ZIP_DEFLATED, compresslevel=1)
        with packed as archive, archive.open(f"{key}.npy", "w") as file:
            _header(file, (2**10, 2**20))
            for _ in range(2**10):
                file.write(bytes(2**20))

    return attack


def announced(name: str, key: str, shape: tuple[int, ...], kind: str) -> Attack:
    """An array that is said to be larger than its file, or to have many values of no size."""

    def attack(run: Path, outside: Path) -> None:
        with np.load(run / name) as arrays:
            content = dict(arrays)
        content.pop(key)
        np.savez_compressed(run / name, **content)
        with zipfile.ZipFile(run / name, "a") as archive, archive.open(f"{key}.npy", "w") as file:
            _header(file, shape, kind)

    return attack


def _header(file: Any, shape: tuple[int, ...], kind: str = "|u1") -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})


ATTACKS: dict[str, Attack] = {
    **{f"link, {name}": link_file(name) for name in FILES},
    "link, train.log": link_file("train.log"),
    **{f"link, {name}/": link_folder(name) for name in FOLDERS},
    **{f"dangling, {name}": dangling(name) for name in ("run.json", "train.log", "metrics.json", "new")},
    **{f"pipe, {name}": pipe(name) for name in (*FILES, "train.log")},
    **{f"device, {name}": device(name) for name in ("run.json", ".hydra/config.yaml", "predictions.csv")},
    **{f"giant, {name}": giant(name) for name in FILES if not name.startswith("checkpoints")},
    **{f"other kind, {name}": other_kind(name) for name in OTHER_KINDS},
    "hole, events": hole("events.out.tfevents.1.x"),
    "long record, events": hole("events.out.tfevents.1.x", (3 * 10**9).to_bytes(8, "little") + bytes(4)),
    "giant judge": judge(lambda content: content["hyper_parameters"]["architecture"].update(width=20_000)),
    "threads, run.json": record(hardware={"threads": 10**9}),
    "true threads, run.json": record(hardware={"threads": True}),
    "precision, config.yaml": text(".hydra/config.yaml", lambda old: old.replace("32-true", "transformer-engine")),
    "share, config.yaml": text(
        ".hydra/config.yaml", lambda old: old.replace("limit_test_batches: null", "limit_test_batches: 0.000001")
    ),
    "smoothing, config.yaml": text(
        ".hydra/config.yaml", lambda old: old.replace("label_smoothing: 0.0", "label_smoothing: 5")
    ),
    "long name, config.yaml": text(
        ".hydra/config.yaml", lambda old: old.replace("name: simple_cnn", f"name: {'x_' * 20_000}")
    ),
    "aliases, config.yaml": text(".hydra/config.yaml", lambda content: content + laughs()),
    "aliases, overrides.yaml": text(".hydra/overrides.yaml", lambda content: content + laughs("- ")),
    "aliases, hydra.yaml": text(".hydra/hydra.yaml", lambda content: content + laughs()),
    "aliases, word": record(resumed=[{"overrides": [f"trainer.x={{{laughs().replace(chr(10), ',')}}}"]}]),
    "growing, config.yaml": text(".hydra/config.yaml", growing),
    "deep, config.yaml": text(".hydra/config.yaml", lambda content: f"{content}a: {'[' * 5000}{']' * 5000}\n"),
    "digits, config.yaml": text(".hydra/config.yaml", lambda content: f"{content}a: 0x{'f' * 9000}\n"),
    "environment, config.yaml": text(".hydra/config.yaml", lambda content: content + "a: ${oc.env:HOME}\n"),
    "escaped, config.yaml": text(".hydra/config.yaml", lambda content: content + 'a: "\\x24{oc.env:HOME}"\n'),
    "environment, overrides.yaml": words("data.root=${oc.env:HOME}"),
    "environment, run.json": record(resumed=[{"overrides": ["data.root=${oc.env:HOME}"]}]),
    "hydra's, overrides.yaml": words(" +hydra.run.dir=../outside/x", "hydra/launcher@hydra.sweeper=basic"),
    "no text, overrides.yaml": words({"a": 1}, None, 5),
    "brackets, overrides.yaml": words(f"+a={'[' * 9000}"),
    "many, overrides.yaml": words(*["seed=1"] * 9000),
    "deep, run.json": text("run.json", lambda _: "[" * 100_000),
    "nested, run.json": record(hardware=json.loads('{"a":' * 500 + "1" + "}" * 500)),
    "deep, metrics.json": text("metrics.json", lambda _: '{"a":' * 100_000),
    "list, run.json": text("run.json", lambda _: "[]"),
    "resumed, run.json": record(resumed=5),
    "resumed words, run.json": record(resumed=[{"overrides": [5, None, {}]}]),
    "seed, run.json": record(seed={"a": [1]}, versions=[1], hardware="none", start={}, status="finished"),
    "status, run.json": record(status=["finished"]),
    "versions, run.json": record(versions={"torch": ["x\n" * 1000]}),
    "text, metrics.json": figures(epochs="many", **{"test/accuracy": "0.9"}),
    "digits, metrics.json": text("metrics.json", lambda _: '{"epochs": ' + "9" * 10_000_000 + "}"),
    "infinite, metrics.json": text("metrics.json", lambda old: old.replace('"epochs": 3', '"epochs": 1e999999')),
    "wide, predictions.csv": text("predictions.csv", lambda _: f"path{',a' * 3_000_000}\n{'1,' * 3_000_000}1\n"),
    "wide, metrics.csv": text("metrics.csv", lambda content: content + f"{'1,' * 3_000_000}1\n"),
    "quoted, predictions.csv": text("predictions.csv", lambda _: '"\n' + '"",a,"\n' * 300_000 + '"\n'),
    "other columns, predictions.csv": text("predictions.csv", lambda _: "a,b\n1,2\n"),
    "bomb, images.npz": big_array("gradcam/images.npz", "images"),
    "bomb, epoch_001.npz": big_array("gradcam/epoch_001.npz", "maps"),
    "announced, images.npz": announced("gradcam/images.npz", "images", (10**9, 3, 200, 200), "|u1"),
    "nothing, images.npz": announced("gradcam/images.npz", "paths", (10**9,), "<U0"),
}  # fmt: skip
