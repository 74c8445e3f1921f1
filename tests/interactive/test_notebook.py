"""Real notebooks, in a kernel of their own, and the one among the examples."""

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import src.train  # noqa: F401  # so that `reslens` below has it
from tests.support import notebook as support

CELLS = json.loads(support.EXAMPLE.read_text(encoding="utf-8"))["cells"]


STATE = "signal.getsignal(signal.SIGINT), logging.getLogger().handlers[:], dict(os.environ), torch.initial_seed()"


def test_the_example_is_what_its_script_writes_and_names_no_place() -> None:
    assert [(cell["cell_type"], "".join(cell["source"])) for cell in CELLS] == list(support.CELLS)
    text = support.EXAMPLE.read_text(encoding="utf-8")
    assert len(text) < 300_000
    assert not re.search(r"/(tmp|work|root|home|Users)\b", text)
    kinds = [output["output_type"] for cell in CELLS for output in cell.get("outputs", [])]
    assert "error" not in kinds
    assert text.count('"image/png": "') == 3


@pytest.mark.slow
def test_the_examples_cells_run_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "reslens", sys.modules["src"])
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for kind, source in support.CELLS:
        if kind == "code":
            exec(source, names)
    said = capsys.readouterr().out
    assert said.count("epoch 1/4") == said.count("epoch 5/5") == said.count("largest weight") == 1
    assert "figures/curves.png" in said
    assert "model=resnet19 is unknown" in said


@pytest.mark.slow
def test_a_notebook_shows_what_a_terminal_does_and_stays_as_it_was(tmp_path: Path) -> None:
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    cells = [
        f"from reslens import load, train\nimport logging, os, signal, torch\nbefore = {STATE}",
        "run = train('model=simple_cnn', epochs=2, trainer='cpu', baseline=False, cost=False)",
        f"assert before == ({STATE})\nrun",
        "run.show()",
        "train('model=resnet19')",
        "load('nowhere')",
        "again = train('model=simple_cnn', epochs=1, trainer='cpu', callbacks='none', baseline=False, cost=False)",
    ]
    with support.as_installed(tmp_path):
        done = support.run(support.new([("code", cell) for cell in cells]), tmp_path / "work", errors=True)
    said = [support.said(cell) for cell in done.cells]
    assert said[1].count("epoch 1/2") == said[1].count("epoch 2/2") == said[1].count("best epoch") == 1
    assert re.search(r"^test +[01]\.\d{4}", said[1], re.MULTILINE), "the table"
    assert not any(word in said[1] for word in ("GPU available", "Tip", "Restoring", "Warning", "litlogger"))
    assert {output.get("name") for output in done.cells[1].outputs} == {"stdout"}, "plain text, none of it on stderr"
    assert said[2].startswith("Run(outputs/digits/simple_cnn/")
    pictures = [output["data"]["image/png"] for output in done.cells[3].outputs]
    assert len(pictures) == 3
    for cell, line in ((4, "InputError: model=resnet19 is unknown"), (5, "InputError: load=nowhere does not exist")):
        (error,) = done.cells[cell].outputs
        assert "\n".join(error["traceback"]).startswith(line)
        assert len("\n".join(error["traceback"]).splitlines()) == 1
    assert said[6].count("epoch 1/1") == 1


def reply_to(asked: str, client: Any) -> dict[str, Any]:
    """The kernel's answer to a cell; a kernel that was slow to start answers earlier questions, too."""
    while (message := client.get_shell_msg(timeout=200))["parent_header"].get("msg_id") != asked:
        pass
    content: dict[str, Any] = message["content"]
    return content


@pytest.mark.slow
def test_a_kernel_that_is_interrupted_has_a_run_to_go_on_with(tmp_path: Path) -> None:
    manager = pytest.importorskip("jupyter_client.manager")
    pytest.importorskip("ipykernel")
    work = tmp_path / "work"
    work.mkdir()
    with support.as_installed(tmp_path):
        kernel, client = manager.start_new_kernel(kernel_name="python3", cwd=str(work))
    try:
        words = "'model=simple_cnn', trainer='cpu', callbacks='none', baseline=False, cost=False, name='cut'"
        asked = client.execute(f"from reslens import train\nimport signal\nrun = train({words}, epochs=500)")
        history = work / "outputs" / "digits" / "simple_cnn" / "cut" / "metrics.csv"
        until = time.monotonic() + 120
        while not history.exists() and time.monotonic() < until:
            time.sleep(0.2)
        kernel.interrupt_kernel()
        reply = reply_to(asked, client)
        assert (reply["status"], reply["ename"]) == ("error", "KeyboardInterrupt")
        assert "".join(reply["traceback"]) == (
            "KeyboardInterrupt: train(resume='outputs/digits/simple_cnn/cut') goes on here"
        )
        assert json.loads(history.with_name("run.json").read_text())["status"] == "interrupted"
        done = len(history.read_text().splitlines())
        asked = client.execute(
            "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
            f"assert train(resume='cut', epochs={done}).metrics['epochs'] == {done}"
        )
        reply = reply_to(asked, client)
        assert reply["status"] == "ok", reply
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)
