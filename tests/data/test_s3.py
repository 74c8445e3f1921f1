"""`data.root=s3://…` as a user meets it, against a server on this machine: what it gives, and what goes wrong."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from src.errors import InputError
from tests.support.data_fixtures import write_image
from tests.support.s3_server import KEY, SECRET, Proxy, serving, variables

pytest.importorskip("s3fs", reason="pip install 'reslens[s3]'")
pytest.importorskip("moto", reason="pip install 'moto[server]'")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # of botocore and aiohttp
]

TINY = (
    "data=folder",
    "data.image_size=16",
    "data.batch_size=8",
    "model=simple_cnn",
    "trainer.max_epochs=2",
    "trainer.accelerator=cpu",
    "logger=csv",
    "seed=3",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with serving(tmp_path_factory.mktemp("moto")) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def photos(server: Proxy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 60 pictures, one of them cut, and the same in the bucket."""
    import fsspec

    root = tmp_path_factory.mktemp("local") / "photos"
    for i in range(60):
        write_image(root / ("cat" if i % 2 else "dog") / f"{i}.png", seed=i, size=(24, 20))
    (root / "cat/cut.png").write_bytes((root / "cat/1.png").read_bytes()[:200])
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables(server).items():
            patch.setenv(name, value)
        system = fsspec.filesystem("s3", skip_instance_cache=True)
        system.mkdir("shots")
        system.put(f"{root}/", "shots/photos/", recursive=True)
    return root


def run(server: Proxy, *words: str, cwd: Path, verb: str = "train", **more: str) -> subprocess.CompletedProcess[str]:
    environment = variables(server) | {"RESLENS_CACHE": str(cwd.parent / f"{cwd.name}_cache")} | more
    return subprocess.run(
        [sys.executable, "-m", f"src.{verb}", *words],
        cwd=cwd,
        env={name: value for name, value in environment.items() if value},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def result(folder: Path) -> tuple[dict, dict, bytes, bytes]:  # type: ignore[type-arg]
    checkpoint = torch.load(folder / "checkpoints/best.ckpt", map_location="cpu", weights_only=False)
    figures = json.loads((folder / "metrics.json").read_text())
    figures = {name: value for name, value in figures.items() if "second" not in name}
    tables = [(folder / name).read_bytes() for name in ("predictions.csv", "skipped.csv")]
    return checkpoint["state_dict"], figures, *tables


def test_a_training_has_the_same_bits_from_the_bucket_and_from_shards(
    server: Proxy, photos: Path, tmp_path: Path
) -> None:
    packed = run(server, "data=folder", f"data.root={photos}", "output=s3://shots/shards", cwd=tmp_path, verb="pack")
    assert packed.returncode == 0, packed.stderr
    again = run(server, "data=folder", f"data.root={photos}", "output=s3://shots/shards", cwd=tmp_path, verb="pack")
    assert again.returncode == 2
    assert "s3://shots/shards holds 4 objects already" in again.stderr
    places = {"local": str(photos), "bucket": "s3://shots/photos", "shards": "s3://shots/shards"}
    for name, place in places.items():
        trained = run(server, *TINY, f"data.root={place}", f"hydra.run.dir={name}", cwd=tmp_path)
        assert trained.returncode == 0, trained.stderr
        assert trained.stderr == ""
    local = result(tmp_path / "local")
    for name in ("bucket", "shards"):
        weights, *rest = result(tmp_path / name)
        assert all(torch.equal(weights[key], value) for key, value in local[0].items())
        assert rest == list(local[1:])
    before = server.fetched
    for verb, words in (
        ("evaluate", ["checkpoint=bucket"]),
        ("predict", ["checkpoint=shards", "images=test"]),
        ("explain", ["checkpoint=shards"]),
        ("audit", ["data=folder", "data.root=s3://shots/shards"]),
        ("predict", ["checkpoint=local", "images=s3://shots/photos", "output=fetched"]),
        ("predict", ["checkpoint=local", f"images={photos}", "output=here"]),
        ("explain", ["checkpoint=local", "images=s3://shots/photos"]),
    ):
        done = run(server, *words, cwd=tmp_path, verb=verb)
        assert done.returncode == 0, done.stderr
    assert server.fetched == before, "what was fetched once is there"
    fetched = (tmp_path / "fetched/predictions.csv").read_text()
    assert fetched.replace("s3://shots/photos", str(photos)) == (tmp_path / "here/predictions.csv").read_text()
    assert "s3://shots/photos/cat/cut.png,,," in fetched
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    written += [path for path in (tmp_path.parent / f"{tmp_path.name}_cache").rglob("*") if path.is_file()]
    assert len(written) > 60
    for path in written:
        content = path.read_bytes()
        assert SECRET.encode() not in content, path
        assert KEY.encode() not in content, path


FAULTS = {
    "refused": (r"s3://shots/photos is refused", "credentials are wrong"),
    "half": (r"bytes, 3 times", "give the command again"),
    "lost": (r"s3://shots/photos/cat/7\.png can't be read", "give the command again"),
    "gone": (r"\.png does not exist", "see to the address"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_goes_wrong_is_a_line_and_leaves_nothing_half(
    fault: str, server: Proxy, photos: Path, tmp_path: Path
) -> None:
    server.fault = fault
    server.suffix = "/7.png"
    try:
        failed = run(server, *TINY, "data.root=s3://shots/photos", cwd=tmp_path)
    finally:
        server.fault, server.suffix = "", ".png"
    assert failed.returncode == 2, failed.stderr
    assert len(failed.stderr.splitlines()) == 1, failed.stderr
    for words in FAULTS[fault]:
        assert re.search(words, failed.stderr), failed.stderr
    assert SECRET not in failed.stdout + failed.stderr
    assert list(tmp_path.iterdir()) == []
    for path in (tmp_path.parent / f"{tmp_path.name}_cache").glob("buckets/*/photos/*/*"):
        assert path.read_bytes() == (photos / path.parent.name / path.name).read_bytes()
    before = server.fetched
    trained = run(server, *TINY, "data.root=s3://shots/photos", "hydra.run.dir=run", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert (server.fetched - before < 61) == (fault != "refused"), "what had come was kept"


def test_no_bucket_no_object_no_credentials_no_server(server: Proxy, photos: Path, tmp_path: Path) -> None:
    none = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    for place, more, why in (
        ("s3://nothing/photos", {}, "s3://nothing/photos does not exist"),
        ("s3://shots/nothing", {}, "s3://shots/nothing holds nothing, or does not exist"),
        ("s3://shots/photos", none | {"HOME": str(tmp_path.parent)}, "and the environment has none: set AWS_PROFILE"),
        ("s3://shots/photos", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "s3://shots/photos can't be read"),
    ):
        failed = run(server, *TINY, f"data.root={place}", cwd=tmp_path, **more)
        assert failed.returncode == 2, failed.stderr
        assert len(failed.stderr.splitlines()) == 1, failed.stderr
        assert why in failed.stderr
        assert list(tmp_path.iterdir()) == []


def test_without_s3fs_a_line_says_how_to_install_it(make_module: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(InputError, match=r"s3://b/p needs s3fs: pip install 'reslens\[s3\]'"):
        make_module(root="s3://b/p").setup()
