"""Checkpoints beside a journal: when they are kept, and that a broken one is told from a whole."""

import os
from pathlib import Path

import pytest

from market_pipeline.storage.ticks import Checkpoint
from market_pipeline.streaming import checkpoints
from market_pipeline.streaming.checkpoints import Mark
from market_pipeline.streaming.journal import Journal
from market_pipeline.streaming.records import RecordKind


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def ends(folder: Path) -> list[int]:
    """Write a journal of three segments; return the position after each record."""
    with Journal(folder, 10**9, segment_bytes=200) as opened:
        return [opened.append(RecordKind.FRAME, bytes(25)) for _ in range(10)]


def made(position: int, state: bytes = b"state") -> Checkpoint:
    return Checkpoint(position, 7, 3, state)


def keep(folder: Path, *positions: int) -> None:
    for position in positions:
        checkpoints.keep(folder, made(position), position * 10)


def kept(folder: Path) -> list[int]:
    return [mark.position for mark in checkpoints.marks(folder)]


def age(folder: Path, seconds: int) -> None:
    for file in folder.glob("*.checkpoint"):
        written = file.stat().st_mtime - seconds
        os.utime(file, (written, written))


def test_a_checkpoint_is_read_as_it_was_kept(folder: Path, ends: list[int]) -> None:
    keep(folder, ends[0])
    (mark,) = checkpoints.marks(folder)
    assert mark == Mark(ends[0], 7, 3, ends[0] * 10)
    assert checkpoints.load(folder, mark) == made(ends[0])


def test_the_first_in_each_segment_is_kept(folder: Path, ends: list[int]) -> None:
    keep(folder, *ends)
    assert kept(folder) == [ends[0], ends[3], ends[7]]


def test_after_ten_minutes_another_is_kept(folder: Path, ends: list[int]) -> None:
    keep(folder, ends[0])
    age(folder, 599)
    keep(folder, ends[1])
    age(folder, 2)
    keep(folder, ends[2])
    assert kept(folder) == [ends[0], ends[2]]


def test_checkpoints_that_the_database_has_forgotten_go(folder: Path, ends: list[int]) -> None:
    keep(folder, ends[0], ends[9])
    keep(folder, ends[5])
    assert kept(folder) == [ends[0], ends[5]]


def test_they_go_with_their_segment(folder: Path, ends: list[int]) -> None:
    keep(folder, *ends)
    with Journal(folder, 10**9, segment_bytes=200) as opened:
        opened.forget(ends[4], float("inf"))
    assert kept(folder) == [ends[3], ends[7]]


@pytest.mark.parametrize("length", [0, 10, -1])
def test_a_cut_checkpoint_is_no_checkpoint(
    folder: Path, ends: list[int], length: int, caplog: pytest.LogCaptureFixture
) -> None:
    keep(folder, ends[0])
    (file,) = folder.glob("*.checkpoint")
    (mark,) = checkpoints.marks(folder)
    file.write_bytes(file.read_bytes()[:length])
    usable = [each for each in checkpoints.marks(folder) if checkpoints.load(folder, each)]
    assert (usable, mark.position) == ([], ends[0])
    assert "is broken" in caplog.text


def test_what_is_staged_is_seen_when_it_is_adopted(folder: Path, ends: list[int]) -> None:
    keep(folder, ends[0])
    checkpoints.stage(folder, made(ends[0], b"other"), 5)
    checkpoints.stage(folder, made(ends[5]), 5)
    assert kept(folder) == [ends[0]]
    checkpoints.adopt(folder, [ends[0]])
    checkpoints.discard_staged(folder)
    (mark,) = checkpoints.marks(folder)
    assert checkpoints.load(folder, mark) == made(ends[0], b"other")


def test_a_folder_that_cannot_be_written_is_a_warning(
    folder: Path, ends: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    (folder / f"{ends[0]:020d}.checkpoint-staged").mkdir()
    keep(folder, ends[0])
    assert kept(folder) == []
    assert "no checkpoint" in caplog.text
