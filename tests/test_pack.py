"""`python -m src.pack` as a user meets it, and a training on what it has written."""

import csv
import json
from pathlib import Path

import pytest

from tests.support.command_line import run_here
from tests.support.data_fixtures import write_image
from tests.support.short_run import digest, epochs

TINY = (
    "data=folder", "data.image_size=8", "data.batch_size=4", "data.augment.scale=0.5", "data.num_workers=1",
    "model=simple_cnn", "trainer=cpu", "cost=false", "callbacks.gradcam.images=2", "seed=3",
)  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos") / "photos"
    for i in range(24):
        write_image(root / ("cat" if i % 2 else "dog") / f"{i}.png", seed=i, size=(18, 14))
    (root / "cat/notes.txt").write_text("Tom")
    return root


@pytest.fixture(scope="module")
def shards(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    result = run_here("data=folder", f"data.root={photos}", "output=shards", cwd=folder, verb="pack")
    assert result.returncode == 0, result.stderr
    assert "passed over 1 file that is no image (.txt 1)" in result.stdout
    assert "shards       shards: 1 with 24 images" in result.stdout
    assert "src.train data=folder data.root=shards" in result.stdout
    return folder / "shards"


def test_what_is_written(shards: Path) -> None:
    assert {path.name for path in shards.iterdir()} == {
        "shard-000000.tar", "index.csv", "classes.txt", "pack.json"
    }  # fmt: skip
    record = json.loads((shards / "pack.json").read_text())
    assert (record["images"], record["shards"], record["skipped"]) == (24, 1, 0)
    with (shards / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows[:2]] == ["cat/1.png", "cat/11.png"]
    assert {row["label"] for row in rows} == {"cat", "dog"}


def test_a_training_on_shards_is_that_on_the_files(photos: Path, shards: Path, tmp_path: Path) -> None:
    """Weights, figures, maps, predictions; also of one that began on the files and goes on, on the shards."""
    places = {"files": photos, "shards": shards}
    for name, root in places.items():
        words = (*TINY, "trainer.max_epochs=1", f"data.root={root}", f"hydra.run.dir={name}")
        result = run_here(*words, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
    assert digest(tmp_path / "files") == digest(tmp_path / "shards")
    for name, root in (("files", shards), ("shards", shards)):
        result = run_here(f"resume={name}", "trainer.max_epochs=2", f"data.root={root}", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert epochs(tmp_path / name) == [1, 2]
    assert digest(tmp_path / "files") == digest(tmp_path / "shards")


def test_shards_are_replaced_as_a_whole_and_nothing_else_is(photos: Path, tmp_path: Path) -> None:
    words = ("data=folder", f"data.root={photos}", "output=out")
    assert run_here(*words, cwd=tmp_path, verb="pack").returncode == 0
    first = (tmp_path / "out/shard-000000.tar").read_bytes()
    assert run_here(*words, cwd=tmp_path, verb="pack").returncode == 0
    assert (tmp_path / "out/shard-000000.tar").read_bytes() == first
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("Dear Tom")
    result = run_here(*words[:2], "output=mine", cwd=tmp_path, verb="pack")
    assert result.returncode == 2
    assert "output=mine holds letter.txt and nothing of src.pack" in result.stderr


def test_a_bucket_takes_them_once(photos: Path, tmp_path: Path) -> None:
    words = ("data=folder", f"data.root=file://{photos}", f"output=file://{tmp_path}/bucket/shards/")
    result = run_here(*words, cwd=tmp_path, verb="pack")
    assert result.returncode == 0, result.stderr
    assert {path.name for path in (tmp_path / "bucket/shards").iterdir()} == {
        "shard-000000.tar", "index.csv", "classes.txt", "pack.json"
    }  # fmt: skip
    again = run_here(*words, cwd=tmp_path, verb="pack")
    assert again.returncode == 2
    assert "holds 4 objects already: name a folder that holds nothing" in again.stderr


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["data=digits"], "data=digits holds its images in memory: there are no files to pack"),
        (["data=folder", "data.root=nowhere"], "the data folder 'nowhere' does not exist"),
        (["data=folder"], "data.root=null names no folder"),
        (["data=folder", "data.root=x", "shard_size=0"], "shard_size=0 is not possible"),
        (["data=folder", "data.root=s3://k:hush@b/p"], "data.root holds a password, key or signature"),
        (["data=folder", "data.root=x", "output=s3://k:hush@b/p"], "output holds a password, key or signature"),
    ],
)
def test_what_cannot_be_packed_is_a_line_and_nothing_is_written(words: list[str], why: str, tmp_path: Path) -> None:
    result = run_here(*words, cwd=tmp_path, verb="pack")
    assert result.returncode == 2
    assert why in result.stderr
    assert "hush" not in result.stdout + result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
