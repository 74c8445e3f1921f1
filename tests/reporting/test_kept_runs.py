"""Runs without weights and images in one file: the report that it makes elsewhere, and what is no such file."""

import io
import lzma
import shutil
import tarfile
from pathlib import Path

import pytest

from src.frames import pd
from src.reporting import kept_runs
from src.reporting.report import show, write_report
from tests.reporting.conftest import MakeRun
from tests.support.command_line import run_here

NAME = "runs.tar.xz"


@pytest.fixture
def sweep(tmp_path: Path, make_run: MakeRun, blank: None) -> Path:
    """Two networks with seeds 1 and 2, and their report with an archive."""
    add(tmp_path / "s", make_run, (1, 2))
    write_report(tmp_path / "s", tmp_path / "s" / "report", archive=True)
    return tmp_path / "s"


def add(folder: Path, make_run: MakeRun, seeds: tuple[int, ...]) -> None:
    for model in ("resnet18", "simple_cnn"):
        for seed in seeds:
            right = [number % (7 if model == "resnet18" else 4) != seed for number in range(60)]
            make_run(folder / f"{model}_{seed}", f"model={model}", f"seed={seed}", correct=right)


def elsewhere(sweep: Path, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / NAME).write_bytes((sweep / "report" / NAME).read_bytes())
    return folder


def test_a_report_elsewhere_has_the_same_figures(sweep: Path, tmp_path: Path) -> None:
    there = elsewhere(sweep, tmp_path / "there")
    report = write_report(there, there / "report")
    assert not report.problems
    for table in ("table.csv", "comparisons.csv"):
        assert (there / "report" / table).read_bytes() == (sweep / "report" / table).read_bytes()
    runs, ours = (pd.read_csv(folder / "report" / "runs.csv") for folder in (there, sweep))
    assert runs["run"].tolist() == [f"{NAME}/{name}" for name in ours["run"]]
    assert runs.drop(columns="run").equals(ours.drop(columns="run"))
    text = (there / "report" / "report.md").read_text()
    assert "| 60 in 2 pairs" in text


def test_more_seeds_make_n_grow(sweep: Path, tmp_path: Path, make_run: MakeRun) -> None:
    there = elsewhere(sweep, tmp_path / "there")
    add(there / "more", make_run, (3,))
    write_report(there, there / "report", archive=True)
    shutil.copytree(there / "more", sweep, dirs_exist_ok=True)
    write_report(sweep, sweep / "report", archive=True)
    for table in ("table.csv", "comparisons.csv"):
        assert (there / "report" / table).read_bytes() == (sweep / "report" / table).read_bytes()
    assert pd.read_csv(there / "report" / "table.csv")["n"].tolist() == [3, 3]
    again = elsewhere(there, tmp_path / "again")  # an archive of what came from an archive
    assert len(write_report(again, again / "report").results[0].table) == 2
    assert pd.read_csv(again / "report" / "table.csv")["n"].tolist() == [3, 3]


def test_the_same_runs_make_the_same_bytes_without_weights_and_images(sweep: Path) -> None:
    before = (sweep / "report" / NAME).read_bytes()
    (sweep / "resnet18_1" / "checkpoints").mkdir(exist_ok=True)
    (sweep / "resnet18_1" / "checkpoints" / "best.ckpt").write_bytes(b"weights" * 1000)
    write_report(sweep, sweep / "report", archive=True)
    assert (sweep / "report" / NAME).read_bytes() == before
    with tarfile.open(sweep / "report" / NAME) as archive:
        assert {name.partition("/")[2] for name in archive.getnames()} <= set(kept_runs.FILES)
        assert "resnet18_1/predictions.csv" in archive.getnames()


def test_a_report_into_the_folder_of_an_archive_keeps_it(sweep: Path, tmp_path: Path) -> None:
    there = shutil.copytree(sweep / "report", tmp_path / "there")
    for _ in range(2):
        write_report(there, there)
        assert (there / NAME).read_bytes() == (sweep / "report" / NAME).read_bytes()
        assert pd.read_csv(there / "table.csv")["n"].tolist() == [2, 2]


def test_the_archive_of_an_earlier_report_does_not_count_in_the_next(sweep: Path) -> None:
    for _ in range(2):
        report = write_report(sweep, sweep / "elsewhere", archive=True)
        assert [problem.name for problem in report.problems] == []
    shutil.rmtree(sweep / "resnet18_2")
    write_report(sweep, sweep / "elsewhere", archive=True)
    assert sorted(pd.read_csv(sweep / "elsewhere" / "table.csv")["n"]) == [1, 2]


@pytest.mark.parametrize("name", ["0", "z"])
def test_a_run_beside_its_archive_counts_once_and_is_the_one_that_is_used(
    name: str, sweep: Path, tmp_path: Path
) -> None:
    there = elsewhere(sweep, tmp_path / "there")
    shutil.copytree(sweep / "simple_cnn_1", there / name)
    report = write_report(there, there / "report")
    (problem,) = report.problems
    assert problem.name == f"{NAME}/simple_cnn_1"
    assert problem.reason == f"the same run as {name}: counted once"
    assert pd.read_csv(there / "report" / "table.csv")["n"].tolist() == [2, 2]


def test_what_cannot_be_packed_is_left_out(sweep: Path, tmp_path: Path) -> None:
    cost = sweep / "resnet18_1" / "cost.json"
    cost.unlink(missing_ok=True)
    cost.symlink_to(tmp_path / "mine.json")
    (tmp_path / "mine.json").write_text("{}")
    write_report(sweep, sweep / "report", archive=True)
    with tarfile.open(sweep / "report" / NAME) as archive:
        names = archive.getnames()
    assert "resnet18_1/cost.json" not in names
    assert "resnet18_1/run.json" in names


def archive_of(*members: tuple[str, bytes, bytes], link: str | None = None) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:xz") as archive:
        for name, kind, content in members:
            entry = tarfile.TarInfo(name)
            entry.type, entry.size, entry.linkname = kind, len(content), link or ""
            archive.addfile(entry, io.BytesIO(content))
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "damaged"),
        (b"no archive", "damaged"),
        (lzma.compress(b"no archive" * 100), "damaged"),
        (archive_of(("a/b.exe", tarfile.REGTYPE, b"x")), "holds 'a/b.exe', which no run has"),
        (archive_of(("a/run.json", tarfile.SYMTYPE, b""), link="/etc/passwd"), "which no run has"),
        (archive_of(("../a/run.json", tarfile.REGTYPE, b"{}")), "damaged"),
        (archive_of(("a/run.json", tarfile.REGTYPE, b"{}" * 600)), f"{NAME} would unpack to more than"),
        (archive_of(("a/" * 60 + "run.json", tarfile.REGTYPE, b"{}")), "is no folder of runs"),
        (archive_of(), "no run in it"),
    ],
)
def test_what_is_no_such_archive_is_named_and_leaves_nothing(
    content: bytes, said: str, sweep: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(kept_runs, "MOST", 1000)
    before = {path for path in tmp_path.rglob("*") if "report" not in path.parts}
    (sweep / NAME).write_bytes(content)
    report = write_report(sweep, sweep / "report")
    (problem,) = report.problems
    assert problem.name == NAME
    assert said in problem.reason
    assert "\n" not in problem.reason
    assert {path for path in tmp_path.rglob("*") if "report" not in path.parts} - before == {sweep / NAME}


def test_a_time_of_any_size_is_none(sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[int] = []

    class Entry(tarfile.TarInfo):
        def __init__(self, name: str = "") -> None:
            super().__init__(name)
            self.mtime = 2**70
            times.append(self.mtime)

    with monkeypatch.context() as patch:
        patch.setattr(tarfile, "TarInfo", Entry)
        write_report(sweep, sweep / "report", archive=True)
    assert times
    there = elsewhere(sweep, tmp_path / "there")
    assert not write_report(there, there / "report").problems


def test_half_of_one_is_damaged_and_no_run_of_it_counts(sweep: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    content = (sweep / "report" / NAME).read_bytes()
    (there / NAME).write_bytes(content[: len(content) // 2])
    (there / "mine").symlink_to(sweep)
    report = write_report(there, there / "report")
    assert [problem.name for problem in report.problems] == [NAME]
    assert pd.read_csv(there / "report" / "table.csv")["n"].tolist() == [2, 2]


def test_the_screen_says_where_it_is(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show(write_report(sweep, sweep / "report", archive=True))
    assert f"report/{NAME}" in capsys.readouterr().out
    show(write_report(sweep, sweep / "report"))  # that of an earlier report is still there
    assert NAME not in capsys.readouterr().out


def test_the_verb_reads_and_writes_it(sweep: Path, tmp_path: Path) -> None:
    there = elsewhere(sweep, tmp_path / "there")
    done = run_here(f"runs={there}", "archive=true", cwd=tmp_path, verb="report")
    assert done.returncode == 0, done.stdout
    assert (there / "report" / NAME).is_file()
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / NAME).write_bytes(b"x")
    done = run_here(f"runs={empty}", cwd=tmp_path, verb="report")
    assert done.returncode == 2
    assert "damaged" in done.stdout + done.stderr
