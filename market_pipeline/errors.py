"""Every error this package raises on purpose. The docstring is the message: what to do next.

MarketPipelineError
├── ConfigurationError
├── PortInUse
├── UnknownInstrument
├── DatabaseError
│   ├── DatabaseUnavailable      (transient)
│   ├── RowsRefused
│   ├── QueryTooSlow
│   ├── DatabaseTooOld
│   ├── MigrationEdited
│   ├── OwnerNeeded
│   └── EmbeddedServerError
├── BrokerError
│   ├── BrokerUnavailable        (transient)
│   ├── RateLimited              (transient)
│   ├── TokenExpired
│   ├── RequestRefused
│   └── UnexpectedReply
├── ArchiveError
│   ├── ArchiveUnavailable       (transient)
│   ├── ArchiveBusy              (transient)
│   ├── DayChanged               (transient)
│   ├── ArchiveRefused
│   └── ArchiveDamaged
│       └── ArchiveFileMissing
├── WaitInterrupted
├── JournalError
│   ├── JournalFull
│   └── JournalLocked
├── ReplayRefused
├── StreamTakenOver
├── PositionLost
└── ApiError
    ├── ApiUnavailable           (transient)
    ├── ApiKeyRefused
    ├── ApiRateLimited           (transient)
    └── ApiUnknownInstrument, an UnknownInstrument as well
"""

from collections.abc import Mapping
from typing import Any


class MarketPipelineError(Exception):
    """Something went wrong in the market pipeline."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.__doc__)


class ConfigurationError(MarketPipelineError):
    """A setting is missing or contradicts another. Correct the environment or the .env file."""


class PortInUse(MarketPipelineError):
    """A port is taken by another program. Stop that program or choose another port."""


class UnknownInstrument(MarketPipelineError):
    """The broker has no such instrument. Name it as EXCHANGE:SYMBOL, a symbol or a token."""


class DatabaseError(MarketPipelineError):
    """The database refused a request."""


class DatabaseUnavailable(DatabaseError):
    """The database cannot be reached. Check DATABASE_URL and that the server is running."""


class RowsRefused(DatabaseError):
    """The database refuses these rows for what is in them. Others may be accepted."""


class QueryTooSlow(DatabaseError):
    """The query took longer than it may. Ask for less, as in a shorter period."""


class DatabaseTooOld(DatabaseError):
    """The PostgreSQL server is too old. Use PostgreSQL 15 or newer."""


class MigrationEdited(DatabaseError):
    """A migration that was already applied has been edited. Restore it and add a new one."""


class OwnerNeeded(DatabaseError):
    """Only the owner of the tables may change them. Run `market-pipeline db init` as that user."""


class EmbeddedServerError(DatabaseError):
    """The embedded PostgreSQL server cannot run. Its log is in MARKET_PIPELINE_HOME/postgres."""


class BrokerError(MarketPipelineError):
    """The broker could not do what was asked."""


class BrokerUnavailable(BrokerError):
    """The broker cannot be reached. The request may be tried again."""


class RateLimited(BrokerError):
    """The broker's request limit is used up. Wait before asking again."""

    def __init__(self, message: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds to wait, where that is known."""


class TokenExpired(BrokerError):
    """The broker rejected the access token. Run `market-pipeline login` with the broker's name."""


class RequestRefused(BrokerError):
    """The broker refused the request as wrong. Repeating it will not help."""


class UnexpectedReply(BrokerError):
    """The broker's reply is not in the expected form. Compare it with its documentation."""


class ArchiveError(MarketPipelineError):
    """A day cannot be archived."""


class ArchiveUnavailable(ArchiveError):
    """The archive cannot be written or read now. Check ARCHIVE_URL, and space on the disk."""


class ArchiveBusy(ArchiveError):
    """Another program archives or verifies this day. Try again once it has ended."""


class DayChanged(ArchiveError):
    """Ticks of the day were written while it was archived. Archive it again."""


class ArchiveRefused(ArchiveError):
    """The archive may not be read or written. Check its permissions, or the credentials."""


class ArchiveDamaged(ArchiveError):
    """A file of the archive is not what was written. Archive the day again while it has ticks."""


class ArchiveFileMissing(ArchiveDamaged):
    """A file of the archive is gone. Archive the day again while its ticks are stored."""


class WaitInterrupted(MarketPipelineError):
    """The work was stopped while it waited for its turn at the broker. Start it again to go on."""


class JournalError(MarketPipelineError):
    """The journal cannot be written or read."""


class JournalFull(JournalError):
    """The journal has reached its size limit. Free disk space or bring the database back."""


class JournalLocked(JournalError):
    """Another process is writing this stream's journal. Stop it first."""


class ReplayRefused(MarketPipelineError):
    """The day cannot be replayed so; nothing was changed. Choose another day or source."""


class StreamTakenOver(MarketPipelineError):
    """Another process committed ticks for this stream. This one stops so that none is doubled."""


class PositionLost(MarketPipelineError):
    """The database has forgotten commits, as after a fail-over. The journal must be read again."""


class ApiError(MarketPipelineError):
    """The API refused a request. `problem` is what it said: see RFC 9457."""

    def __init__(
        self, message: str | None = None, problem: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.problem = dict(problem or {})
        """Members type, title, status, detail, instance and request_id; empty without an answer."""

        self.retry_after: float | None = None
        """Seconds to wait, where the API said."""


class ApiUnavailable(ApiError):
    """The API cannot be reached, or its database cannot. Start `market-pipeline up`; try again."""


class ApiKeyRefused(ApiError):
    """The API wants another key. Give one of those in the setting API_KEYS of the server."""


class ApiRateLimited(ApiError):
    """The API key has made too many requests. Wait before asking again."""


class ApiUnknownInstrument(ApiError, UnknownInstrument):
    """The API knows no such instrument. Name it as EXCHANGE:SYMBOL, a symbol, a token or id:42."""


def is_transient(error: BaseException) -> bool:
    """Tell whether trying again with the same settings could succeed."""
    transient = (
        *(DatabaseUnavailable, BrokerUnavailable, RateLimited, ApiUnavailable, ApiRateLimited),
        *(ArchiveUnavailable, ArchiveBusy, DayChanged, ConnectionError, TimeoutError),
    )
    return isinstance(error, transient)
