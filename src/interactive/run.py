"""What `train` gives to Python: a run's folder, its figures, and its pictures below a cell."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from ..runs.folder import RunFolder
from .undisturbed import in_notebook


@dataclass(frozen=True, repr=False)
class Run:
    """A finished run.

    Attributes:
        folder: where all of it lies.
        metrics: what metrics.json holds: `metrics["test/accuracy"]`.
    """

    folder: Path
    metrics: dict[str, float]

    def show(self) -> None:
        """Show the curves, and the first and the last Grad-CAM sheet; outside a notebook say where they are."""
        pictures = self.pictures()
        if not in_notebook():
            print("\n".join(map(str, pictures)) or f"{RunFolder(self.folder).shown} has no pictures")
            return
        shown: Any = import_module("IPython.display")
        for picture in pictures:
            shown.display(shown.Image(data=picture.read_bytes(), alt=picture.stem.replace("_", " ")))

    def pictures(self) -> list[Path]:
        """Return the files that `show` shows."""
        run = RunFolder(self.folder)
        sheets = sorted(run.gradcam.glob("epoch_*.png"))
        found = [run.figures / "curves.png", *sheets[:1], *sheets[1:][-1:]]
        return [picture for picture in found if picture.is_file()]

    def __repr__(self) -> str:
        name = next(
            (name for name in ("test/accuracy", "test/map", "val/accuracy", "val/map") if name in self.metrics), None
        )
        said = "" if name is None else f", {name} {self.metrics[name]:.3f}"
        return f"Run({RunFolder(self.folder).shown}{said})"
