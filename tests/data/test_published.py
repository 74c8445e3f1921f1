import io
import stat
import zipfile
import zlib
from pathlib import Path

import pytest

from src.data.published import extract_zip
from src.errors import InputError


def make_zip(path: Path, members: dict[str, bytes], links: tuple[str, ...] = ()) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        for name in links:
            member = zipfile.ZipInfo(name)
            member.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(member, "/etc/passwd")
    return path


def extract(archive: Path, most_bytes: int = 10_000, **limits) -> None:
    extract_zip(archive, "Images", archive.parent / "data" / "Images", most_bytes=most_bytes, **limits)


def test_a_folder_appears_whole(tmp_path):
    extract(make_zip(tmp_path / "a.zip", {"Images/cat/1.jpg": b"one", "Images/dog/2.jpg": b"two", "readme.txt": b"x"}))
    data = tmp_path / "data"
    files = {p.relative_to(data).as_posix(): p.read_bytes() for p in data.rglob("*") if p.is_file()}
    assert files == {"Images/cat/1.jpg": b"one", "Images/dog/2.jpg": b"two"}
    assert [p.name for p in (tmp_path / "data").iterdir()] == ["Images"]


@pytest.mark.parametrize(
    "name",
    [
        "../canary",
        "Images/../../canary",
        "/tmp/reslens_canary",
        "..\\canary",
        "C:\\canary",
        "C:canary",
        "\\\\host\\canary",
    ],
)
def test_names_that_lead_out_are_refused(tmp_path, name):
    with pytest.raises(InputError, match="leads out"):
        extract(make_zip(tmp_path / "a.zip", {"Images/1.jpg": b"one", name: b"canary"}))
    assert_nothing_left(tmp_path)
    assert not Path("/tmp/reslens_canary").exists()


def assert_nothing_left(folder: Path) -> None:
    left = {path.name for path in folder.rglob("*")} - {"a.zip", "data"}
    assert left == set()


def test_links_are_refused(tmp_path):
    with pytest.raises(InputError, match="leads out"):
        extract(make_zip(tmp_path / "a.zip", {"Images/1.jpg": b"one"}, links=("Images/link",)))
    assert_nothing_left(tmp_path)


def test_bombs_are_refused(tmp_path):
    bomb = make_zip(tmp_path / "a.zip", {"Images/1.jpg": bytes(1_000_000)})
    with pytest.raises(InputError, match="unpack to over 10000 bytes"):
        extract(bomb)
    with pytest.raises(InputError, match="or 1 files"):
        extract(make_zip(tmp_path / "a.zip", {"Images/1.jpg": b"", "Images/2.jpg": b""}), most_files=1)
    assert_nothing_left(tmp_path)


def test_a_header_that_lies_about_the_size(tmp_path):
    content = make_zip(tmp_path / "a.zip", {"Images/1.jpg": bytes(1_000_000)}).read_bytes()
    (tmp_path / "a.zip").write_bytes(content.replace((1_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    with pytest.raises(InputError):
        extract(tmp_path / "a.zip")
    assert_nothing_left(tmp_path)


def test_no_more_is_unpacked_than_the_header_says(tmp_path):
    """Even where the checksum is that of the few bytes which are promised."""
    content = make_zip(tmp_path / "a.zip", {"Images/1.jpg": bytes(1_000_000)}).read_bytes()
    for said, claimed in ((1_000_000, 10), (zlib.crc32(bytes(1_000_000)), zlib.crc32(bytes(10)))):
        content = content.replace(said.to_bytes(4, "little"), claimed.to_bytes(4, "little"))
    (tmp_path / "a.zip").write_bytes(content)
    extract(tmp_path / "a.zip")
    assert (tmp_path / "data" / "Images" / "1.jpg").read_bytes() == bytes(10)


def test_damaged_or_other_archives(tmp_path):
    whole = make_zip(tmp_path / "a.zip", {f"Images/{i}.jpg": bytes(range(200)) for i in range(5)}).read_bytes()
    flipped = bytearray(whole)
    flipped[60] ^= 0xFF
    for content in (whole[: len(whole) // 2], bytes(flipped), b"", b"no zip"):
        (tmp_path / "a.zip").write_bytes(content)
        with pytest.raises(InputError, match="damaged"):
            extract(tmp_path / "a.zip")
        assert_nothing_left(tmp_path)
    with pytest.raises(InputError, match="no folder 'Images'"):
        extract(make_zip(tmp_path / "a.zip", {"Other/1.jpg": b"one"}))
    assert_nothing_left(tmp_path)


def test_encrypted_archives_are_refused(tmp_path):
    raw = bytearray(make_zip(tmp_path / "a.zip", {"Images/1.jpg": b"one"}).read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.index(signature) + offset] |= 1
    (tmp_path / "a.zip").write_bytes(raw)
    assert zipfile.ZipFile(io.BytesIO(bytes(raw))).infolist()[0].flag_bits & 1
    with pytest.raises(InputError, match="damaged"):
        extract(tmp_path / "a.zip")
    assert_nothing_left(tmp_path)


def test_what_is_there_already_is_not_touched(tmp_path):
    (tmp_path / "data" / "Images").mkdir(parents=True)
    with pytest.raises(InputError, match="there already"):
        extract(make_zip(tmp_path / "a.zip", {"Images/1.jpg": b"one"}))
