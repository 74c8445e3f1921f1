"""An explanation's folder is filled as a whole, replaces an earlier one, and takes nothing else away."""

import re
from pathlib import Path

import pytest

from src.errors import InputError
from src.runs.folder import RunFolder
from src.runs.output import TIMED, filled, made, output_folder, write_record


def explain(output: Path, *names: str) -> None:
    with filled(output, "explain") as folder:
        for name in names:
            (folder / name).write_text(name)
        write_record(folder, "explain", {"method": "gradcam"})


def explain_and_fail(output: Path) -> None:
    with filled(output, "explain") as folder:
        (folder / "0_b.png").write_text("half")
        raise RuntimeError("disk full")


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_second_explanation_takes_the_place_of_the_first_and_leaves_other_files(tmp_path: Path) -> None:
    output = tmp_path / "run/explain/gradcam"
    explain(output, "0_a.png", "1_b.png")
    (output / "mine.txt").write_text("notes")
    explain(output, "0_c.png")
    assert listing(output) == ["0_c.png", "explain.json", "mine.txt"]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    output = tmp_path / "explain/gradcam"
    explain(output, "0_a.png")
    with pytest.raises(RuntimeError, match="disk full"):
        explain_and_fail(output)
    assert listing(output) == ["0_a.png", "explain.json"]


def test_a_failure_leaves_no_new_folder(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        explain_and_fail(tmp_path / "a/b/c")
    assert listing(tmp_path) == []


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years")
    with pytest.raises(InputError, match="holds thesis.tex and nothing of src.explain"), filled(tmp_path, "explain"):
        pass
    with pytest.raises(InputError, match="is no folder"), filled(tmp_path / "thesis.tex", "explain"):
        pass


def test_a_record_can_not_make_it_delete_outside(tmp_path: Path) -> None:
    outside = tmp_path / "precious.txt"
    outside.write_text("precious")
    output = tmp_path / "explain"
    output.mkdir()
    (output / "explain.json").write_text('{"files": ["../precious.txt", "/etc/hostname", "explain.json"]}')
    explain(output, "0_a.png")
    assert outside.exists()


def test_what_a_run_keeps_is_called_by_the_time_and_listed_newest_last(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    assert output_folder("mine", run, "explain", "gradcam") == Path("mine")
    folders = []
    for method in ("layercam", "gradcam", "gradcam"):  # within a second
        folder = output_folder(None, run, "explain", method)
        assert re.fullmatch(rf"{TIMED}_{method}(_2)?", folder.name), folder
        explain(folder, "0_a.png")
        folders.append(folder.name)
    assert len(set(folders)) == 3
    explain(run.path / "explain/xgradcam", "0_a.png")  # of an earlier version
    (run.path / "explain/judge").mkdir()
    assert made(run.path, "explain") == ["xgradcam", *sorted(folders)]
    assert output_folder(None, run, "export", "onnx", replaced=True) == run.path / "export/onnx"
