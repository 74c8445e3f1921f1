"""Only what can be made again goes, of finished runs alone, and nothing that a link leads to."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from src.files import locked
from src.listing.entry import read_entry
from src.listing.pruning import KINDS, Plan, plan, prune
from src.runs.folder import RunFolder

OLD = Path(__file__).parents[1] / "support" / "old_runs"
ALL = tuple(KINDS)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of a finished run, `done`, with a judge and an export in it, as the verbs leave them."""
    run = tmp_path / "outputs" / "done"
    shutil.copytree(OLD / "finished", run)
    shutil.copytree(OLD / "finished", run / "explain" / "judge")
    (run / "explain" / "gradcam").mkdir()
    (run / "explain" / "gradcam" / "explain.json").write_text("{}")
    export = run / "export" / "onnx"
    export.mkdir(parents=True)
    (export / "model.onnx").write_bytes(b"x" * 5000)
    (export / "export.json").write_text(json.dumps({"files": ["model.onnx", "export.json"]}))
    return tmp_path / "outputs"


def planned(root: Path, name: str = "done", kinds: tuple[str, ...] = ALL) -> Plan:
    return plan(read_entry(root / name, name), root, kinds)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_what_was_said_goes_and_all_else_stays(root: Path) -> None:
    before, one = files(root), planned(root)
    assert {part.kind for part in one.parts} == set(ALL)
    assert files(root) == before, "nothing goes by being asked for"
    promised, size = one.size(), sum((root / name).stat().st_size for name in before)
    freed, kept = prune(one, root)
    after = files(root)
    gone = {name for name in before if name not in after}
    assert gone == {
        "done/checkpoints/last.ckpt", "done/export/onnx/model.onnx", "done/export/onnx/export.json",
        *(name for name in before if name.startswith("done/explain/judge/")),
    }  # fmt: skip
    assert (freed, kept) == (promised, [])
    assert not (root / "done" / "explain" / "judge").exists()
    assert not (root / "done" / "export").exists()
    record = json.loads((root / "done" / "run.json").read_text())
    assert set(record["pruned"]) == {name.removeprefix("done/") for name in gone}
    grown = (root / "done" / "run.json").stat().st_size - (OLD / "finished" / "run.json").stat().st_size
    assert sum(path.stat().st_size for path in root.rglob("*") if path.is_file()) == size - freed + grown
    assert planned(root).parts == []


@pytest.mark.parametrize("kind", ALL)
def test_one_kind_alone_goes(root: Path, kind: str) -> None:
    one = planned(root, kinds=(kind,))
    prune(one, root)
    assert {part.kind for part in planned(root).parts} == set(ALL) - {kind}


def says(status: str) -> Callable[[Path], object]:
    return lambda run: (run / "run.json").write_text(json.dumps({"status": status}))


@pytest.mark.parametrize(
    "change",
    [
        says("interrupted"), says("running"), says("failed"), says("refused"), says("mine"),
        lambda run: (run / "run.json").write_text("{"),
        lambda run: (run / "run.json").unlink(),
        lambda run: (run / "metrics.json").unlink(),
        lambda run: (run / "metrics.json").write_text("[1]"),
        lambda run: (run / ".hydra" / "config.yaml").unlink(),
        lambda run: (run / "checkpoints" / "best.ckpt").unlink(),
    ],
)  # fmt: skip
def test_any_other_run_keeps_everything(root: Path, change: Callable[[Path], object]) -> None:
    early = planned(root)
    change(root / "done")
    before = files(root)
    late = planned(root)
    assert late.parts == []
    assert len(late.kept) == 1
    assert early.parts, "it was finished when the plan was made"
    if not (root / "done" / ".hydra" / "config.yaml").exists():  # which only the plan looks at
        return
    freed, kept = prune(early, root)
    assert (freed, len(kept)) == (0, 1)
    assert files(root) == before


def test_a_run_that_another_process_has_stays(root: Path) -> None:
    one, before = planned(root), files(root)
    with locked(root / "done"):
        assert prune(one, root) == (0, ["another process is at work there"])
    with locked(root / "done" / "explain" / "judge"):
        freed, kept = prune(planned(root, kinds=("controls",)), root)
    assert (freed, kept) == (0, ["another process is at work there"])
    assert files(root) == before


def test_a_control_that_is_being_trained_stays(root: Path) -> None:
    RunFolder(root / "done" / "explain" / "judge").end("interrupted")
    one = planned(root, kinds=("controls",))
    assert (one.parts, one.kept) == ([], ["explain/judge: no finished training"])


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("explain/judge/notes.txt", "controls"), ("explain/judge/checkpoints/mine.ckpt", "controls"),
        ("explain/judge/predict/a.csv", "controls"), ("export/onnx/labels.txt", "exports"),
        ("export/onnx/more/a.txt", "exports"),
    ],
)  # fmt: skip
def test_what_is_somebodys_own_keeps_all_around_it(root: Path, place: str, kind: str) -> None:
    mine = root / "done" / place
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_text("mine")
    before = files(root)
    one = planned(root)
    assert {part.kind for part in one.parts} == set(ALL) - {kind}
    assert len(one.kept) == 1
    assert "which is yours" in one.kept[0]
    prune(one, root)
    assert mine.read_text() == "mine"
    folder = "/".join(("done", *place.split("/")[:2]))
    assert {name for name in before if name.startswith(folder)} <= files(root)


@pytest.mark.parametrize("names", [["../../../../elsewhere/a", "model.onnx", "export.json"], "model.onnx", 3, [[]]])
def test_a_strangers_record_names_nothing_outside(root: Path, names: object) -> None:
    elsewhere = root.parent / "elsewhere" / "a"
    elsewhere.parent.mkdir()
    elsewhere.write_text("mine")
    (root / "done" / "export" / "onnx" / "export.json").write_text(json.dumps({"files": names}))
    prune(planned(root), root)
    assert elsewhere.read_text() == "mine"


@pytest.fixture
def elsewhere(root: Path) -> Iterator[Path]:
    """A folder that nothing may happen to."""
    folder = root.parent / "elsewhere"
    shutil.copytree(root / "done", folder)
    before = files(folder)
    yield folder
    assert files(folder) == before


@pytest.mark.parametrize(
    "place",
    ["explain", "explain/judge", "export", "export/onnx", "checkpoints", "checkpoints/last.ckpt",
     "checkpoints/best.ckpt", "export/onnx/model.onnx", "explain/judge/checkpoints",
     "explain/judge/checkpoints/last.ckpt"],
)  # fmt: skip
def test_nothing_that_a_link_leads_to_goes(root: Path, elsewhere: Path, place: str) -> None:
    link = root / "done" / place
    shutil.rmtree(link) if link.is_dir() else link.unlink()
    link.symlink_to(elsewhere / place)
    one = planned(root)
    assert one.kept
    prune(one, root)
    assert link.is_symlink()


def test_a_run_behind_a_link_stays(root: Path, elsewhere: Path) -> None:
    (root / "other").symlink_to(elsewhere)
    one = planned(root, "other")
    assert one.parts == []
    assert "is a link" in one.kept[0]


def test_a_link_that_is_put_in_its_place_meanwhile_is_noticed(root: Path, elsewhere: Path) -> None:
    one = planned(root, kinds=("controls",))
    shutil.rmtree(root / "done" / "explain" / "judge")
    (root / "done" / "explain" / "judge").symlink_to(elsewhere / "explain" / "judge")
    freed, kept = prune(one, root)
    assert freed == 0
    assert kept


def test_a_file_that_came_meanwhile_keeps_its_folder(root: Path) -> None:
    one = planned(root, kinds=("exports",))
    (root / "done" / "export" / "onnx" / "labels.txt").write_text("mine")
    freed, kept = prune(one, root)
    assert freed == 0
    assert kept == ["it holds labels.txt, which is yours"]
    assert (root / "done" / "export" / "onnx" / "model.onnx").exists()


def test_a_file_of_two_names_frees_nothing(root: Path) -> None:
    os.link(root / "done" / "checkpoints" / "last.ckpt", root.parent / "kept.ckpt")
    assert planned(root, kinds=("last",)).size() == 0
