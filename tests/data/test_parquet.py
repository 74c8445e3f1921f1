"""Hugging Face's Parquet files with pictures in them are a data set as it comes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from src.data import members, parquet
from src.errors import InputError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

NAMES = ["dog", "cat"]


def write(path: Path, pictures: list[bytes], labels: list, names: list[str] | None = NAMES, **more) -> None:
    """As `datasets` writes them: the classes' names stand in the schema."""
    columns = {"image": [{"bytes": picture, "path": f"{i}.png"} for i, picture in enumerate(pictures)], "label": labels}
    table = pa.table(columns | more)
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    if names:
        about = json.dumps({"info": {"features": features | {name: {"_type": "ClassLabel"} for name in more}}})
        table = table.replace_schema_metadata({b"huggingface": about.encode()})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=5)


@pytest.fixture
def pictures(make_folder: Callable[..., Path]) -> list[bytes]:
    root = make_folder({"cat": 12, "dog": 12})
    return [path.read_bytes() for i in range(12) for path in (root / f"dog/{i:03d}.png", root / f"cat/{i:03d}.png")]


def test_hugging_faces_layout(
    pictures: list[bytes], tmp_path: Path, make_module: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "theirs"
    write(root / "data/train-00000-of-00002-abc.parquet", pictures[:8], [0, 1] * 4)
    write(root / "data/train-00001-of-00002-abc.parquet", pictures[8:16], [0, 1] * 4)
    write(root / "data/validation-00000-of-00001.parquet", pictures[16:20], [0, 1] * 2)
    write(root / "data/test-00000-of-00001.parquet", pictures[20:], [-1] * 4)
    (root / "README.md").write_text("# theirs")
    module = make_module(root=str(root))
    module.setup()
    assert module.class_names == ["cat", "dog"]
    assert len(module.found.paths) == 20, "test has no labels"
    assert module.size("val") == 4
    held = set()
    for place, path in enumerate(module.found.paths):
        with members.opened(module.data_root / path) as file:
            content = file.read()
        held.add(content)
        assert module.class_names[module.found.targets[place]] == NAMES[pictures.index(content) % 2]
    assert held == set(pictures[:20])
    assert {path.rsplit("/", 1)[0] for path in module.paths("train")} <= {"train/cat", "train/dog"}
    monkeypatch.setattr(parquet, "_rows", lambda *_: pytest.fail("read again"))
    again = make_module(root=str(root))
    again.setup()
    assert again.census == module.census
    monkeypatch.undo()
    remote = make_module(root=f"file://{root}")
    remote.setup()
    assert remote.census == module.census
    write(root / "data/validation-00000-of-00001.parquet", pictures[16:18], [0, 1])
    changed = make_module(root=str(root))
    changed.setup()
    assert changed.size("val") == 2


def test_words_as_labels_and_plain_bytes(pictures: list[bytes], tmp_path: Path, make_module: Callable) -> None:
    root = tmp_path / "plain"
    root.mkdir()
    pq.write_table(pa.table({"picture": pictures, "class": ["x/1", "y"] * 12}), root / "all.parquet")
    module = make_module(root=str(root))
    module.setup()
    assert module.class_names == ["x/1", "y"]
    assert len(set(module.found.paths)) == 24


def test_several_columns_of_labels_need_a_word(pictures: list[bytes], tmp_path: Path, make_module: Callable) -> None:
    root = tmp_path / "two"
    write(root / "a.parquet", pictures, [0, 1] * 12, fine=[0, 1, 2] * 8)
    table = pq.read_table(root / "a.parquet").rename_columns(["image", "coarse", "fine"])
    pq.write_table(table, root / "a.parquet")
    with pytest.raises(InputError, match=r"say data\.label=COLUMN, one of coarse, fine"):
        make_module(root=str(root)).setup()
    with pytest.raises(InputError, match=r"data\.label=colour is no column"):
        make_module(root=str(root), label="colour").setup()
    module = make_module(root=str(root), label="fine")
    module.setup()
    assert module.class_names == ["0", "1", "2"]


def test_what_is_no_such_file_is_a_line(pictures: list[bytes], tmp_path: Path, make_module: Callable) -> None:
    root = tmp_path / "odd"
    write(root / "a.parquet", pictures, [0, 1] * 12)
    whole = (root / "a.parquet").read_bytes()
    (root / "a.parquet").write_bytes(whole[:500])
    with pytest.raises(InputError, match=r"a\.parquet can't be read"):
        make_module(root=str(root)).setup()
    pq.write_table(pa.table({"file": ["a.jpg"], "label": ["x"]}), root / "a.parquet")
    with pytest.raises(InputError, match="0 columns of pictures, among file, label"):
        make_module(root=str(root)).setup()
    pq.write_table(pa.table({"image": [{"bytes": None, "path": "a.jpg"}], "label": ["x"]}), root / "a.parquet")
    with pytest.raises(InputError, match="names pictures and holds none|columns of pictures"):
        make_module(root=str(root)).setup()


def test_a_folder_of_classes_with_a_table_beside_them_stays_one(make_folder: Callable, make_module: Callable) -> None:
    root = make_folder({"cat": 5, "dog": 5})
    pq.write_table(pa.table({"file": ["cat/000.png"]}), root / "labels.parquet")
    module = make_module(root=str(root))
    module.setup()
    assert module.class_names == ["cat", "dog"]
    with pytest.raises(InputError, match=r"data\.label=x is a column of tables and of Parquet files"):
        make_module(root=str(root), label="x").setup()
