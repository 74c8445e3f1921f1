"""What lies in a bucket, by fsspec: `s3://bucket/photos` and its like. Credentials are the environment's."""

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cached_property
from hashlib import sha256
from importlib import import_module
from os import environ
from pathlib import Path
from typing import Any, NamedTuple

import fsspec

from ..errors import InputError, first_line, nearest

INSTALL = {
    "s3": ("s3fs", "pip install 'reslens[s3]'"),
    "gs": ("gcsfs", "pip install gcsfs"),
    "gcs": ("gcsfs", "pip install gcsfs"),
    "az": ("adlfs", "pip install adlfs"),
    "abfs": ("adlfs", "pip install adlfs"),
    "abfss": ("adlfs", "pip install adlfs"),
    "hf": ("huggingface_hub", "pip install huggingface_hub"),
    "file": ("fsspec", ""),
    "memory": ("fsspec", ""),
}
"""Protocols, the package that speaks each, and how it is installed."""

CREDENTIALS = {
    "s3": "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; FSSPEC_S3_ANON=true for a public bucket",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS; FSSPEC_GS_TOKEN=anon for a public bucket",
    "az": "set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
    "hf": "set HF_TOKEN",
}
"""What to do without credentials, or with wrong ones."""

ETAGS = ("ETag", "etag", "md5Hash", "blob_id", "oid")
TIMES = ("LastModified", "last_modified", "updated", "mtime", "created")
"""What file systems call an object's digest, and the time of its last change."""

ATTEMPTS = 3
"""To fetch an object whose connection breaks, or which comes in half. s3fs makes some of its own below that."""

MICROSECONDS = 1_000_000


class Object(NamedTuple):
    """What lies in a bucket: path below the root, bytes, and a time of change in ns that no other version has.

    That is the time in whole seconds, and microseconds that come from the object's digest (ETag).
    """

    path: str
    size: int
    mtime_ns: int


class Bucket:
    """A folder in a bucket."""

    def __init__(self, url: str) -> None:
        """Raise `InputError` where nothing speaks the protocol."""
        self.url = url
        self.protocol = url.partition("://")[0].lower()
        if "::" in url:  # fsspec would put one file system on top of another
            raise InputError(f"{url} names several places: name one")
        if self.protocol not in INSTALL:
            raise InputError(
                f"{url}: nothing is known that reads {self.protocol}://; nearest: {nearest(self.protocol, INSTALL)}. "
                "Copy it to a folder"
            )

    @cached_property
    def system(self) -> Any:
        """The file system. It keeps threads and connections: no process that was forked may use it."""
        package, how = INSTALL[self.protocol]
        try:
            import_module(package)
            system, self.base = fsspec.url_to_fs(self.url, skip_instance_cache=True, use_listings_cache=False)
        except ImportError as error:
            raise InputError(f"{self.url} needs {package}: {how}") from error
        except Exception as error:  # each has its own
            raise self.complaint(error) from error
        self.base = self.base.rstrip("/")
        return system

    @property
    def key(self) -> str:
        """What sets this folder apart from those of other servers."""
        server = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or environ.get("HF_ENDPOINT")
        account = environ.get("AZURE_STORAGE_ACCOUNT_NAME", "")
        return sha256(f"{self.url} {server} {account}".encode()).hexdigest()[:16]

    def objects(self) -> list[Object]:
        """List all that lies below, sorted, without dot-files. Raise `InputError` where there is nothing."""
        with self.explained():
            found = self.system.find(self.base, detail=True)
        listed = []
        for name, info in found.items():
            path = name.removeprefix(self.base).lstrip("/")
            if info["type"] != "directory" and path and is_plain(path):
                listed.append(Object(path, int(info["size"] or 0), stamp(info)))
        if not listed:
            what = "is an object, not a folder" if self.base in found else "holds nothing, or does not exist"
            raise InputError(f"{self.url} {what}: name a folder in a bucket.")
        return sorted(listed)

    def fetch(self, one: Object, target: Path) -> None:
        """Write an object to a file, and no less than all of it."""
        for attempt in range(ATTEMPTS):
            last = attempt == ATTEMPTS - 1
            try:
                self.system.get_file(f"{self.base}/{one.path}", str(target))
            except Exception as error:
                if last or is_final(error):
                    raise self.complaint(error, one.path) from error
            else:
                if (came := target.stat().st_size) == one.size:
                    return
                if last:
                    raise InputError(
                        f"{self.url}/{one.path} came with {came:,} of its {one.size:,} bytes, {ATTEMPTS} times: it is "
                        "being written, or the connection breaks; give the command again, what has come is kept."
                    )
            time.sleep(0.5 * 2**attempt)

    def refuse_contents(self) -> None:
        """Raise `InputError` where anything lies in the folder, or it can't be looked at."""
        with self.explained():
            there = self.system.find(self.base)
        if there:
            raise InputError(f"{self.url} holds {len(there):,} objects already: name a folder that holds nothing")

    def remove(self, names: list[str]) -> None:
        """Remove what was written, as far as that is possible."""
        with suppress(Exception):
            self.system.rm([f"{self.base}/{name}" for name in names])

    def write(self, source: Path, name: str) -> None:
        """Put a file below the folder. Raise `InputError` where that isn't possible."""
        with self.explained(name):
            if self.protocol == "file":  # elsewhere there are no folders to be made
                self.system.makedirs(self.base, exist_ok=True)
            self.system.put_file(str(source), f"{self.base}/{name}")

    @contextmanager
    def explained(self, path: str = "") -> Iterator[None]:
        try:
            yield
        except InputError:
            raise
        except Exception as error:
            raise self.complaint(error, path) from error

    def complaint(self, error: Exception, path: str = "") -> InputError:
        """Return what is wrong in a line that repeats no credentials: those of libraries may hold signed addresses."""
        place = f"{self.url}/{path}" if path else self.url
        protocol = {"gcs": "gs", "abfs": "az", "abfss": "az"}.get(self.protocol, self.protocol)
        remedy = CREDENTIALS.get(protocol, "see to the permissions")
        kind = type(error).__name__
        if isinstance(error, FileNotFoundError):
            also = ", and to AWS_ENDPOINT_URL if you set it" if protocol == "s3" else ""
            return InputError(f"{place} does not exist: see to the address{also}.")
        if "Credentials" in kind:
            return InputError(f"{place} needs credentials, and the environment has none: {remedy}.")
        # adlfs wraps what Azure says into errors of another kind.
        about = f"{kind} {error}".lower()
        unknown = "Token" in kind or "authentic" in about or "connection string" in about
        if isinstance(error, PermissionError) or unknown:
            return InputError(f"{place} is refused ({said(error)}): the credentials are wrong, or may not: {remedy}.")
        if is_full(error):
            return InputError(f"{place} can't be copied ({said(error)}): free some room, or set RESLENS_CACHE.")
        return InputError(
            f"{place} can't be read ({said(error)}): see to the connection, and give the command again; what has come "
            "is kept."
        )


def is_final(error: Exception) -> bool:
    """Return whether it is no use to try again."""
    return (
        isinstance(error, FileNotFoundError | PermissionError)
        or "Credentials" in type(error).__name__
        or is_full(error)
    )


def is_full(error: Exception) -> bool:
    """Return whether our own disk is to blame."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)


def said(error: Exception) -> str:
    """Return what a library says, without what may follow a question mark in an address."""
    words = " ".join(first_line(error).partition("?")[0].replace('"', "").split())
    return words[:160] if len(words) > 2 else type(error).__name__


def is_plain(path: str) -> bool:
    """Return whether a key may be that of a picture: a path that leads down, without dot-files."""
    return "\0" not in path and all(part and not part.startswith(".") for part in path.split("/"))


def stamp(info: dict[str, Any]) -> int:
    """Return a time of change in ns for what a file system tells of an object."""
    changed = next((info[key] for key in TIMES if info.get(key)), 0)
    digest = next((str(info[key]) for key in ETAGS if info.get(key)), str(changed))
    seconds = (
        changed.timestamp() if isinstance(changed, datetime) else changed if isinstance(changed, int | float) else 0
    )
    part = int.from_bytes(sha256(digest.encode()).digest()[:8]) % MICROSECONDS
    return int(seconds) * 10**9 + part * 1000
