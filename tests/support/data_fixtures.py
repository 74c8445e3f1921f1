"""Small images made on the spot, and a cache of each test's own."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from typing import Any

import numpy as np
import pytest
from PIL import Image

from src.data import ImageDataModule
from src.data.collection import ImageCollection
from src.data.sources import find_images


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("RESLENS_CACHE", str(folder))
    return folder


def write_image(path: Path, seed: int = 0, size: tuple[int, int] = (12, 10), mode: str = "RGB") -> None:
    """Noise of its own for each seed; `size` is (width, height)."""
    shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8), mode).save(path)


@pytest.fixture
def save_image() -> Callable[..., None]:
    return write_image


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., Path]:
    """A folder of images: {"cat": 5} or {"train/cat": 5, "test/cat": 2} below tmp_path / name."""

    def make(counts: Mapping[str, int], name: str = "images", suffix: str = ".png") -> Path:
        for k, (folder, count) in enumerate(counts.items()):
            (tmp_path / name / folder).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                write_image(tmp_path / name / folder / f"{i:03d}{suffix}", seed=1000 * k + i)
        return tmp_path / name

    return make


@pytest.fixture
def make_module() -> Callable[..., ImageDataModule]:
    """A data module of small images, without workers unless asked for."""

    def make(name: str = "folder", *, mean: Sequence[float] = (0.5,), std: Sequence[float] = (0.5,), **options: Any):
        settings = {"image_size": 8, "in_channels": 3, "batch_size": 4, "num_workers": 0, **options}
        return ImageDataModule(name=name, mean=mean, std=std, **settings)

    return make


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection fails at once, as on a machine without a network."""

    def refuse(*_args, **_options):
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr("socket.getaddrinfo", refuse)


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves a folder; of "cut.bin" only a beginning, as where a connection is lost."""

    def log_message(self, *_) -> None:
        """Nothing: a test's screen is not a web server's log."""

    def do_GET(self) -> None:
        if not self.path.endswith("cut.bin"):
            return super().do_GET()
        content = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        return self.wfile.write(content[:1000]) and None


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    """The address of a web server on this machine for a folder."""
    with ExitStack() as stack:

        def start(folder: Path) -> str:
            # not HTTPServer, which asks the DNS for its own name
            handler = partial(QuietHandler, directory=str(folder))
            server = stack.enter_context(ThreadingTCPServer(("127.0.0.1", 0), handler))
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_address[1]}"

        yield start


@pytest.fixture
def find() -> Callable[..., ImageCollection]:
    """A data set by name and root; `download` and the options as in `find_images`."""

    def look(
        name: str,
        root: Path,
        download: bool = False,
        max_skipped: float = 0.05,
        group: str | None = None,
        exclude: Any = None,
        **options: Any,
    ):
        return find_images(
            name, root, download=download, max_skipped=max_skipped, options=options, group=group, exclude=exclude
        )

    return look
