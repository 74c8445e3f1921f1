"""What is known to be no image by its name: it is not opened, counts as nothing that is damaged, and is said in a line.

The names of files and folders come from operating systems, file servers and photo software, the suffixes from what
lies beside pictures: notes, tables, programs. A file without a suffix, or with another one, is tried: its content
decides. So are pictures in a format that ResLens can't read (camera raw, SVG, video), because somebody believes them to
be images.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

# as they are written; compared in lower case
FILES = (
    "Thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "folder.htt", "autorun.inf", "Icon\r", "Picasa.ini",
    "ZbThumbnail.info", "pspbrwse.jbf", "SYNO@.fileindexdb", "Thumbs.db:encryptable",
    "README", "LICENSE", "LICENCE", "COPYING", "CHANGELOG", "Makefile", "MD5SUMS", "SHA1SUMS", "SHA256SUMS",
)  # fmt: skip
FOLDERS = (
    # Windows
    "System Volume Information", "$RECYCLE.BIN", "Recycle.Bin", "Config.Msi", "msdownld.tmp",
    "$Extend", "$WinREAgent", "$SysReset", "$GetCurrent", "$Windows.~BT", "$Windows.~WS", "WindowsImageBackup",
    # macOS
    "__MACOSX", "Network Trash Folder", "Temporary Items", "TheVolumeSettingsFolder", "resource.frk",
    # Linux, Android
    "lost+found", "LOST.DIR",
    # file servers: Synology, QNAP, Asustor and others
    "@eaDir", "#recycle", "#snapshot", "@tmp", "@SynoResource", "@Recycle", "@Recently-Snapshot", "@sharebin",
    "@__thumb", "@Transcode", "@sharesnap", "~snapshot", "Network Recycle Bin", "_gsdata_",
    # programs
    "__pycache__", "node_modules",
)  # fmt: skip
SUFFIXES = {
    "text": "txt text md markdown rst rtf log nfo doc docx odt pages ppt pptx odp html htm mhtml xhtml css",
    "data": "json jsonl ndjson json5 geojson xml xmp xsd dtd yaml yml toml ini cfg conf properties csv tsv psv lst "
    "list names parquet feather arrow xls xlsx xlsm ods numbers db sqlite sqlite3 mdb accdb dbf sql lmdb fileindexdb",
    "labels": "ann anno annotation annotations label labels bbox boxes roi pts",
    "programs": "py pyc pyo ipynb js sh bash bat cmd ps1 pl rb php cc cpp hpp java go rs exe dll so dylib msi jar",
    "archives": "zip tar tgz tbz txz 7z rar bz2 xz zst iso dmg",
    "weights": "pt pth ckpt onnx safetensors tflite joblib",
    "checksums": "md5 sha1 sha256 sha512 sfv crc par2 sig asc torrent",
    "sidecars of photo software": "aae pp3 dop lrcat lrdata cos nksc vrd pto on1 picasa thmx",
    "maps": "wld tfw jgw jpw pgw bpw gfw prj cpg shp shx ovr kml gpx",
    "others": "srt vtt ass lnk url webloc website desktop identifier eml msg ics vcf mp3 wav flac ogg oga opus m4a aac "
    "wma aiff mid ttf otf woff woff2",
}
"""What stands behind the last dot, in lower case: "identifier" is Windows' Zone.Identifier, "ovr" a map's overview."""

_SUFFIXES = frozenset(suffix for words in SUFFIXES.values() for suffix in words.split())
_FILES = {name.lower(): name.strip() for name in FILES}
_FOLDERS = {name.lower() for name in FOLDERS}
_NUMBERED = re.compile(r"found\.\d{3}|\.?trash-\d+", re.IGNORECASE)
"""What chkdsk and Linux's desktops number."""

_STREAMS = ("@synoeastream", "@synoresource")
"""What a Synology adds to the whole name of a picture."""

NAMED = 6
"""Kinds that are named in a line."""


def kind_of(name: str) -> str | None:
    """Return what kind of no image a file is by its name, such as `.txt` or `Thumbs.db`; None where it may be one."""
    name = name.lower()
    if name in _FILES:
        return _FILES[name]
    _, dot, suffix = name.rpartition(".")
    if dot and suffix in _SUFFIXES:
        return f".{suffix}"
    return "Synology's streams" if name.endswith(_STREAMS) else None


def is_systems(folder: str) -> bool:
    """Return whether a folder of this name belongs to a system or a program: it is not entered, and is no class."""
    return folder.lower() in _FOLDERS or _NUMBERED.fullmatch(folder) is not None


@dataclass
class PassedOver:
    """How many files of which kinds, and folders of which names, were not looked at."""

    files: Counter[str] = field(default_factory=Counter)
    folders: Counter[str] = field(default_factory=Counter)

    def __bool__(self) -> bool:
        return bool(self.files or self.folders)

    def __iadd__(self, other: "PassedOver") -> "PassedOver":
        self.files += other.files
        self.folders += other.folders
        return self

    def may_be(self, parts: Sequence[str]) -> bool:
        """Return whether a file may be an image by its path's parts, and note it otherwise."""
        if folder := next(filter(is_systems, parts[:-1]), None):
            self.folders[folder] = 1
        elif kind := kind_of(parts[-1]):
            self.files[kind] += 1
        else:
            return True
        return False

    def __str__(self) -> str:
        """Return such as "30 files that are no images (.txt 28, Thumbs.db 2) and 3 folders (@eaDir)"."""
        said = []
        if count := self.files.total():
            kinds = (f"{kind} {number:,}" for kind, number in self.files.most_common())
            what = "file that is no image" if count == 1 else "files that are no images"
            said.append(f"{count:,} {what} ({_listed(kinds)})")
        if count := self.folders.total():
            names = (name for name, _ in self.folders.most_common())
            said.append(f"{count:,} {'folder' if count == 1 else 'folders'} of the system ({_listed(names)})")
        return " and ".join(said)


def _listed(words: Iterable[str]) -> str:
    words = list(words)
    return ", ".join([*words[:NAMED], *(["…"] if len(words) > NAMED else [])])
