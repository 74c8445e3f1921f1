"""train.log: a line a record, whatever is in it, and nothing behind a link."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from src.logs import LogFile, say_lines


@pytest.fixture
def log(tmp_path: Path) -> Iterator[logging.Logger]:
    logger, handler = logging.getLogger("tests.of the log"), LogFile(tmp_path / "train.log", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield logger
    logger.removeHandler(handler)
    handler.close()


START = "INFO tests.of the log: "


def test_a_message_is_one_line(log: logging.Logger, tmp_path: Path) -> None:
    words = "\ntouch canary\r\x1b[2J\u2028\u202eabc\x85\udc80\t100 %"
    record = log.makeRecord(log.name, logging.INFO, __file__, 1, "goes on after batch %s", (words,), None)
    log.handlers[0].handle(record)  # not the logger: pytest would capture it, and xdist can't send \udc80
    expected = START + r"goes on after batch \ntouch canary\r\x1b[2J\u2028\u202eabc\x85\udc80" + "\t100 %\n"
    assert (tmp_path / "train.log").read_text() == expected


def test_a_table_is_a_record_a_line(log: logging.Logger, tmp_path: Path) -> None:
    say_lines(log, "\na  b\n1  2\n")
    assert (tmp_path / "train.log").read_text().split("\n") == [START, f"{START}a  b", f"{START}1  2", START, ""]


def test_a_traceback_is_indented(log: logging.Logger, tmp_path: Path) -> None:
    try:
        raise ValueError("a\nalias ls=canary\x1b[2J")
    except ValueError as error:
        log.warning("failed", exc_info=error)
    first, *below = (tmp_path / "train.log").read_text().splitlines()
    assert first == "WARNING tests.of the log: failed"
    assert below[0] == "    Traceback (most recent call last):"
    assert below[-2:] == ["    ValueError: a", r"    alias ls=canary\x1b[2J"]


def test_a_link_is_no_log(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "train.log").symlink_to(tmp_path / "mine")
    with pytest.raises(OSError, match=r"train.log"):
        LogFile(tmp_path / "train.log")
    assert (tmp_path / "mine").read_text() == "mine"
