"""Addresses of folders that no disk holds, such as `s3://bucket/photos`, where a path may stand."""

import re
from pathlib import Path
from typing import Any, TypeGuard

from .errors import InputError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_SECRETS = re.compile(
    r"[^/]*:[^/@]+@|[^?]*\?(?:.*&)?(?:sig|token|key|password|secret|access_token|awsaccesskeyid|x-amz-[a-z]+)=",
    re.IGNORECASE,
)


def is_url(place: Any) -> TypeGuard[str]:
    """Return whether a setting names a folder by its address, not by its path."""
    return isinstance(place, str) and _URL.match(place) is not None


_addresses: dict[str, str] = {}


def call_copy(folder: Path, address: str) -> None:
    """Let this process call what lies in a folder by the address that it was fetched from."""
    _addresses[f"{folder}/"] = f"{address}/"


def called(path: str) -> str:
    """Return the address of a file that was fetched in this process; any other path as it is."""
    for folder, address in _addresses.items():
        if path.startswith(folder):
            return address + path.removeprefix(folder)
    return path


def refuse_secrets(setting: str, place: Any) -> None:
    """Raise `InputError`, which doesn't repeat it, for an address with a password or a signature.

    A setting is kept in logs, in `run.json` and in checkpoints.
    """
    if is_url(place) and _SECRETS.match(place.partition("://")[2]):
        raise InputError(
            f"{setting} holds a password, key or signature, which would be saved with the run: name the bucket alone, "
            "and put credentials into the environment, such as AWS_PROFILE"
        )
