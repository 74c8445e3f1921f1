"""`reslens VERB …` beside `python -m src.VERB`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from src.command.console import main
from src.settings.schema.verbs import VERBS

ROOT = Path(__file__).parents[2]


def typed(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/reslens", *words])


@pytest.mark.parametrize("words", [(), ("--help",), ("help",)])
def test_help_lists_every_verb_in_a_line(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, *words)
    main()
    lines = capsys.readouterr().out.splitlines()
    for verb in VERBS:
        assert sum(line.startswith(f"  {verb} ") and len(line) > 30 for line in lines) == 1


def test_an_unknown_verb_is_answered_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, "trian")
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert capsys.readouterr().err == "error: 'trian' is no verb; nearest: train\n"


def test_a_verb_gets_the_words_behind_it_in_any_folder(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "src", "train", "epochs=0"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: trainer.max_epochs=0 is not possible")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [("src", "--help"), ("src.train", "--help"), ("src.predict", "--cfg", "job")])
def test_a_reader_that_has_left_is_no_error(words: tuple[str, ...]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    _, said = process.communicate(timeout=60)
    assert (said, process.returncode) == ("", 0)
