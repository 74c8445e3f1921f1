"""What lies in a bucket is copied to the cache folder, whole or not at all: `file://` is one that needs no server."""

import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from src.data import bucket_copies, buckets
from src.data.bucket_copies import copies, local_copy
from src.data.buckets import Bucket, Object, is_plain, stamp
from src.data.cache import cache_folder
from src.errors import InputError
from src.files import keep_in_use


def everything(paths):
    return paths


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets.time, "sleep", lambda _: None)


@pytest.fixture
def bucket(make_folder: Callable[..., Path]) -> Path:
    """A folder of 12 pictures of cats and dogs, one of them broken, with notes and files that nobody sees."""
    root = make_folder({"cat": 6, "dog": 6}, "photos")
    (root / "cat/broken.jpg").write_bytes(b"")
    (root / "cat/notes.txt").write_text("Tom")
    (root / ".hidden").mkdir()
    (root / ".hidden/x.png").write_bytes(b"x")
    return root


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_data_set_in_a_bucket_is_that_of_the_folder(bucket: Path, make_module: Callable) -> None:
    for options in ({}, {"exclude": ["*/*5.png"]}, {"classes": ["dog", "cat"]}, {"group": r"(\d)\.png"}):
        local = make_module(root=str(bucket), max_skipped=0.5, **options)
        remote = make_module(root=f"file://{bucket}/", max_skipped=0.5, **options)
        local.setup()
        remote.setup()
        assert remote.census == local.census
        assert remote.skipped == local.skipped
        assert (local.place, remote.place) == (str(bucket), f"file://{bucket}")
        assert (remote.sample("train", 4)[0] == local.sample("train", 4)[0]).all()


def test_what_was_fetched_once_is_not_fetched_again(bucket: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    url = f"file://{bucket}"
    copy = local_copy(url, everything)
    assert contents(copy) == {name: held for name, held in contents(bucket).items() if not name.startswith(".hidden")}
    assert "fetched 14" in caplog.text
    local_copy(url, everything)
    assert caplog.messages[-1].endswith("nothing to fetch")
    first = next(copy.glob("cat/*.png"))
    changed = bucket / first.relative_to(copy)
    changed.write_bytes(changed.read_bytes()[::-1])
    (bucket / "dog/new.png").write_bytes(b"new")
    (bucket / "cat/notes.txt").unlink()
    first.with_name("half").write_bytes(b"of a process that was killed")
    next(copy.glob("dog/*.png")).write_bytes(b"cut short")
    local_copy(url, everything)
    assert "fetched 3 in" in caplog.messages[-1]
    assert contents(copy) == {name: held for name, held in contents(bucket).items() if not name.startswith(".hidden")}
    shutil.rmtree(bucket / "dog")
    local_copy(url, everything)
    assert not (copy / "dog").exists()


def test_what_is_no_image_is_there_by_name_alone(bucket: Path, make_module: Callable) -> None:
    module = make_module(root=f"file://{bucket}", max_skipped=0.5)
    module.setup()
    assert (module.data_root / "cat/notes.txt").read_bytes() == b""


def test_a_table_in_the_bucket_is_read(bucket: Path, make_module: Callable) -> None:
    rows = [f"cat/{path.name},cat" for path in sorted((bucket / "cat").glob("*.png"))]
    rows += [f"dog/{path.name},dog" for path in sorted((bucket / "dog").glob("*.png"))]
    (bucket / "labels.csv").write_text("\n".join(["file,label", *rows]))
    local = make_module("table", root=str(bucket))
    local.setup()
    places = ({"root": f"file://{bucket}"}, {"table": f"file://{bucket}/labels.csv"})
    both = {"root": f"file://{bucket}", "table": f"file://{bucket}/labels.csv"}
    for options in (*places, both, {"root": f"file://{bucket}", "table": str(bucket / "labels.csv")}):
        remote = make_module("table", **options)
        remote.setup()
        assert remote.census == local.census
    with pytest.raises(InputError, match="doesn't lie below data.root"):
        make_module("table", root=f"file://{bucket}/cat", table=f"file://{bucket}/labels.csv").setup()


def test_errors_name_the_bucket_not_its_copy(tmp_path: Path, make_folder: Callable, make_module: Callable) -> None:
    root = make_folder({"cat": 3}, "one")
    with pytest.raises(InputError) as caught:
        make_module(root=f"file://{root}").setup()
    assert str(caught.value).startswith(f"file://{root} holds one class only")
    assert str(cache_folder()) not in str(caught.value)


def test_nothing_there_is_a_line_and_leaves_nothing(tmp_path: Path, make_module: Callable) -> None:
    for url, why in (
        (f"file://{tmp_path}/nothing", "holds nothing, or does not exist"),
        ("ftpx://host/photos", "nothing is known that reads ftpx://"),
        ("s3://bucket/photos::file:///etc", "names several places"),
    ):
        with pytest.raises(InputError, match=why):
            make_module(root=url).setup()
    (tmp_path / "file.png").write_bytes(b"x")
    with pytest.raises(InputError, match="is an object, not a folder"):
        make_module(root=f"file://{tmp_path}/file.png").setup()
    assert not (cache_folder() / "buckets").exists()
    with pytest.raises(InputError, match="data=digits can't be read from s3://b: data=folder and data=table can"):
        make_module("digits", root="s3://b")


def test_half_an_object_is_no_file(bucket: Path, tmp_path: Path) -> None:
    url, one = f"file://{bucket}", next(bucket.glob("cat/*.png"))
    whole = one.stat().st_size
    target = tmp_path / "target"
    listed = Object(one.relative_to(bucket).as_posix(), whole + 5, 0)  # it has been cut since it was listed
    with pytest.raises(InputError, match=rf"came with {whole} of its {whole + 5} bytes, 3 times"):
        Bucket(url).fetch(listed, target)
    with pytest.raises(InputError, match=r"cat/gone\.png does not exist"):
        Bucket(url).fetch(Object("cat/gone.png", 1, 0), target)


def test_an_object_that_fails_ends_it_and_leaves_no_half(bucket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = Bucket.objects

    def longer(self: Bucket) -> list[Object]:
        found = listed(self)
        return [one._replace(size=one.size + (one.path == found[-1].path)) for one in found]

    monkeypatch.setattr(Bucket, "objects", longer)  # the last is shorter than it was when it was listed
    with pytest.raises(InputError, match="3 times"):
        local_copy(f"file://{bucket}", everything)
    copy = next(cache_folder().glob("buckets/*/photos"))
    assert all((bucket / name).read_bytes() == held for name, held in contents(copy).items())
    assert not [name for name in contents(copy) if "partial" in name]


def test_copies_have_a_limit_and_the_oldest_go(
    make_folder: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = {}
    for name in "abc":
        root = tmp_path / name
        root.mkdir()
        (root / "x.png").write_bytes(os.urandom(2**20))
        made[name] = f"file://{root}"
    a = local_copy(made["a"], everything, limit=2.5 / 1024)
    os.utime(a, (1, 1))
    b = local_copy(made["b"], everything, limit=2.5 / 1024)
    c = local_copy(made["c"], everything, limit=2.5 / 1024)
    assert {a, b, c} <= set(copies(cache_folder() / "buckets")), "those of this process are in use"
    for descriptor in bucket_copies_in_use():
        os.close(descriptor)
    os.utime(b, (2, 2))
    (tmp_path / "c/y.png").write_bytes(os.urandom(2**20))
    local_copy(made["c"], everything, limit=2.5 / 1024)
    assert copies(cache_folder() / "buckets") == [c]
    assert caplog.text.count("removed from the cache, for want of room") == 2
    with pytest.raises(InputError, match=r"takes 2 MiB, and copies of buckets may take 512 KiB here: set data\.copy_"):
        local_copy(made["c"].replace("/c", "/./c"), everything, limit=0.5 / 1024)


def bucket_copies_in_use() -> list[int]:
    from src import files

    found = list(files._in_use.values())
    files._in_use.clear()
    return found


def test_a_copy_in_use_by_this_process_says_so(tmp_path: Path) -> None:
    keep_in_use(tmp_path)
    assert bucket_copies.is_locked(tmp_path)


@pytest.mark.parametrize(
    "url", ["s3://KEY:hush@bucket/photos", "https://x/y?sig=hush&b=1", "az://c/p?a=1&sig=hush", "gs://b/p?token=hush"]
)
def test_credentials_in_an_address_are_refused_and_not_repeated(url: str, make_module: Callable) -> None:
    with pytest.raises(InputError, match=r"data\.root holds a password, key or signature") as caught:
        make_module(root=url)
    assert "hush" not in str(caught.value)
    with pytest.raises(InputError, match=r"data\.table holds a password") as caught:
        make_module("table", table=url + "/labels.csv")
    assert "hush" not in str(caught.value)


def test_two_versions_of_an_object_have_two_times() -> None:
    one = {"LastModified": 1_700_000_000, "ETag": '"a"'}
    assert stamp(one) != stamp(one | {"ETag": '"b"'})
    assert stamp(one) == stamp(dict(one))
    assert stamp(one) // 10**9 == 1_700_000_000
    assert stamp(one) % 1000 == 0, "file systems may keep no nanoseconds"


@pytest.mark.parametrize(
    ("path", "plain"), [("cat/1.jpg", True), ("../1.jpg", False), ("cat//1.jpg", False), (".x/1.jpg", False)]
)
def test_keys_that_lead_out_are_left_out(path: str, plain: bool) -> None:
    assert is_plain(path) is plain
