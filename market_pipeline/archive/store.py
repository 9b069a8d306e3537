"""Where the files of an archive are: in a folder, or in an object store such as S3.

A file is staged under a name that readers pass over, read back, and then published: it has its name
only once it is whole.
"""

import errno
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

import obstore
from obstore import exceptions
from obstore.store import ObjectStore, from_url

from market_pipeline.archive.layout import STAGED
from market_pipeline.errors import (
    ArchiveFileMissing,
    ArchiveRefused,
    ArchiveUnavailable,
    ConfigurationError,
)

_REFUSED = (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)
_READ_AHEAD = 4 << 20


class Store(ABC):
    """Holds files by paths with slashes below a location, and a scratch folder on this machine."""

    def __init__(self, location: str, scratch: Path) -> None:
        self.location, self.scratch = location, scratch

    @abstractmethod
    def stage(self, file: Path, path: str) -> None:
        """Take a file over from the scratch folder, as yet under another name than its own."""

    @abstractmethod
    def publish(self, path: str) -> None:
        """Give a staged file its name: at once, so that nobody sees a part of it."""

    @abstractmethod
    def open(self, path: str) -> IO[bytes]:
        """Open a file for reading from any place.

        Raises:
            ArchiveFileMissing: there is none.
        """

    @abstractmethod
    def size(self, path: str) -> int:
        """Return the size of a file in bytes.

        Raises:
            ArchiveFileMissing: there is none.
        """

    @abstractmethod
    def delete(self, path: str) -> None:
        """Delete a file, and as it is staged, if there is one."""

    @abstractmethod
    def list(self, folder: str) -> list[str]:
        """Return the paths of the files in a folder."""


class FolderStore(Store):
    """An archive in a folder of this machine. What is published survives a power cut."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder), folder / ".scratch")
        self._folder = folder

    def stage(self, file: Path, path: str) -> None:
        target = self._folder / (path + STAGED)
        with translated(path):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(file, target)
            with target.open("rb+") as staged:
                os.fsync(staged.fileno())

    def publish(self, path: str) -> None:
        target = self._folder / path
        with translated(path):
            os.replace(self._folder / (path + STAGED), target)
            for parent in [*target.relative_to(self._folder).parents]:
                _sync(self._folder / parent)

    def open(self, path: str) -> IO[bytes]:
        with translated(path):
            return (self._folder / path).open("rb")

    def size(self, path: str) -> int:
        with translated(path):
            return (self._folder / path).stat().st_size

    def delete(self, path: str) -> None:
        with translated(path):
            for each in (path, path + STAGED):
                (self._folder / each).unlink(missing_ok=True)

    def list(self, folder: str) -> list[str]:
        with translated(folder):
            found = (self._folder / folder).glob("*")
            return sorted(str(each.relative_to(self._folder)) for each in found if each.is_file())


class RemoteStore(Store):
    """An archive in an object store, by its URL; the library reads credentials by itself."""

    def __init__(self, url: str, scratch: Path, options: dict[str, Any] | None = None) -> None:
        super().__init__(url.rstrip("/"), scratch)
        try:
            self._objects: ObjectStore = from_url(url, **(options or {}))
        except (exceptions.BaseError, ValueError) as error:
            raise ConfigurationError(f"ARCHIVE_URL: {_first_line(error)}") from None

    def stage(self, file: Path, path: str) -> None:
        with translated(path):
            # In parts, which become an object only with the last; nothing is seen of it before.
            obstore.put(self._objects, path + STAGED, file)
            file.unlink()

    def publish(self, path: str) -> None:
        with translated(path):
            obstore.rename(self._objects, path + STAGED, path)

    def open(self, path: str) -> IO[bytes]:
        with translated(path):
            opened = obstore.open_reader(self._objects, path, buffer_size=_READ_AHEAD)
            return cast(IO[bytes], _Reader(opened, path))

    def size(self, path: str) -> int:
        with translated(path):
            return int(obstore.head(self._objects, path)["size"])

    def delete(self, path: str) -> None:
        for each in (path, path + STAGED):
            try:
                with translated(path):
                    obstore.delete(self._objects, each)
            except ArchiveFileMissing:
                continue

    def list(self, folder: str) -> list[str]:
        with translated(folder or self.location):
            found = obstore.list_with_delimiter(self._objects, folder)["objects"]
            return sorted(str(each["path"]) for each in found)


class _Reader:
    """A file of an object store as Arrow wants it, with our errors."""

    def __init__(self, opened: Any, path: str) -> None:
        self._opened, self._path = opened, path
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        with translated(self._path):
            return bytes(self._opened.read(None if size < 0 else size))

    def seek(self, offset: int, whence: int = 0) -> int:
        with translated(self._path):
            return int(self._opened.seek(offset, whence))

    def tell(self) -> int:
        return int(self._opened.tell())

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True
        self._opened.close()

    def __enter__(self) -> "_Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_store(url: str, home: Path) -> Store:
    """Return the store at a path or URL; without either the one in the pipeline's home.

    Raises:
        ConfigurationError: there is no such kind of store.
    """
    if not url:
        return FolderStore(home / "archive")
    if "://" in url and not url.startswith("file://"):
        return RemoteStore(url, home / "archive_scratch")
    return FolderStore(Path(url.removeprefix("file://")).expanduser().absolute())


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Turn errors of the system and of the library into ours.

    Raises:
        ArchiveFileMissing: there is no such file.
        ArchiveRefused: it may not be read or written, as in a file system that is read-only.
        ArchiveUnavailable: the disk is full or broken, or the object store does not answer.
    """
    try:
        yield
    except (FileNotFoundError, exceptions.NotFoundError) as error:
        raise ArchiveFileMissing(f"{path} is missing in the archive") from error
    except (PermissionError, *_REFUSED) as error:
        raise ArchiveRefused(f"{path}: {_first_line(error)}") from error
    except (OSError, exceptions.BaseError) as error:
        if getattr(error, "errno", None) == errno.EROFS:
            raise ArchiveRefused(f"{path}: {_first_line(error)}") from error
        raise ArchiveUnavailable(f"{path}: {_first_line(error)}") from error


def _sync(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _first_line(error: Exception) -> str:
    name = PurePosixPath(str(getattr(error, "filename", "") or "")).name
    text = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
    return f"{text.splitlines()[0]} ({name})" if name else text.splitlines()[0]
