"""Notebooks in a real kernel; as a command it writes outputs/example/notebook.ipynb again, outputs included.

python -m tests.support.notebook
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "outputs" / "example" / "notebook.ipynb"

CELLS: Sequence[tuple[str, str]] = (
    (
        "markdown",
        "# ResLens in a notebook\n\nA network is trained on scikit-learn's 8×8 digits, in seconds; "
        "`train` takes the words of the command line and Python's values.",
    ),
    (
        "code",
        'from reslens import load, train\n\nrun = train(\n    "model=simple_cnn",\n    "data=digits",\n'
        '    "callbacks.gradcam.images=3",\n    epochs=4,\n    trainer="cpu",\n    name="first",\n)',
    ),
    ("markdown", "The run has its folder and its figures, and shows its curves and the first and last Grad-CAM sheet."),
    ("code", 'run.metrics["test/accuracy"], run.folder.name'),
    ("code", "run.show()"),
    (
        "markdown",
        "`load` takes a run, a folder, a name or `last`; `predict` a path, a Pillow image, or a list of these.",
    ),
    (
        "code",
        "from PIL import Image\nfrom sklearn.datasets import load_digits\n\n"
        'digits = [Image.fromarray((image * 15.9).astype("uint8")) for image in load_digits().images[:3]]\n'
        "load(run).predict(digits)",
    ),
    ("markdown", "More epochs, and a callback of your own:"),
    (
        "code",
        "from lightning import Callback\n\n\nclass Largest(Callback):\n"
        '    """Say how large the weights have become."""\n\n'
        "    def on_train_epoch_end(self, trainer, pl_module):\n"
        "        largest = max(float(weight.detach().abs().max()) for weight in pl_module.parameters())\n"
        '        print(f"largest weight {largest:.3f}")\n\n\n'
        'train(resume="first", epochs=5, callbacks=[Largest()])',
    ),
    ("markdown", "What can be put right is said in one line:"),
    ("code", 'try:\n    train("model=resnet19")\nexcept ValueError as error:\n    print(error)'),
)


@contextmanager
def as_installed(folder: Path) -> Iterator[None]:
    """Let the processes that are started import this tree as `reslens`."""
    for name, source in (("reslens", "src"), ("conf", "conf")):
        (folder / name).symlink_to(ROOT / source)
    with mock.patch.dict(os.environ, {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}):
        yield


def new(cells: Sequence[tuple[str, str]]) -> Any:
    """Return a notebook of (kind, source)."""
    from nbformat import v4

    make = {"code": v4.new_code_cell, "markdown": v4.new_markdown_cell}
    notebook = v4.new_notebook(cells=[make[kind](source) for kind, source in cells])
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
    return notebook


def run(notebook: Any, folder: Path, *, errors: bool = False) -> Any:
    """Run all cells in `folder`; return the notebook with what they gave."""
    from nbclient import NotebookClient

    folder.mkdir(exist_ok=True)
    place = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", allow_errors=errors, resources=place)
    client.execute()
    return notebook


def said(cell: Any) -> str:
    """Return what a cell printed and returned."""
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return "".join(texts)


def write_example() -> None:
    import nbformat

    with tempfile.TemporaryDirectory() as place, as_installed(Path(place)):
        notebook = run(new(CELLS), Path(place) / "work")
    for cell in notebook.cells:  # when it was run says nothing
        cell.metadata.clear()
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    nbformat.write(notebook, EXAMPLE)


if __name__ == "__main__":
    write_example()
