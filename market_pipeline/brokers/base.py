"""What every broker must be able to do. A new broker is one class and one line in `BROKERS`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from threading import Event
from typing import Protocol

import polars as pl

from market_pipeline.brokers.decoding import Decoder
from market_pipeline.brokers.limits import Budget, RequestKind
from market_pipeline.market import Interval, Mode

FRAME_SECONDS = 10.0
"""How long a connection may be silent during a session; a broker sends a heartbeat every second, or
its adapter asks for one."""


class Sink(Protocol):
    """Takes what arrives on a connection, in order. Each call returns when it is journaled."""

    def connected(self) -> None: ...

    def frame(self, payload: bytes) -> None: ...

    def text(self, message: str) -> None: ...

    def disconnected(self, cause: str) -> None: ...


class Broker(ABC):
    """Where market data comes from."""

    max_tokens_per_stream: int
    """How many instruments one connection may carry."""

    max_days: Mapping[int, int]
    """Days of candles one request may span, by the minutes of a candle; others do not exist."""

    budgets: Mapping[RequestKind, Budget]
    """What each kind of request counts against."""

    @property
    def history_budget(self) -> Budget:
        """What requests for candles count against."""
        return self.budgets[RequestKind.HISTORY]

    @abstractmethod
    def instruments(self) -> pl.DataFrame:
        """Fetch today's instrument master, with the columns of INSTRUMENT_SCHEMA.

        Raises:
            BrokerError: the broker did not answer, or not in the expected form.
        """

    @abstractmethod
    def candles(
        self, token: int, interval: Interval, start: datetime, end: datetime
    ) -> pl.DataFrame:
        """Fetch candles that start between two instants, both included and timezone-aware.

        They come with the columns of CANDLE_SCHEMA, sorted by time, one for each time. A request
        spans at most `max_days`.

        Raises:
            BrokerError: the broker refused, or did not answer.
            WaitInterrupted: the work was stopped before it was this request's turn.
        """

    @abstractmethod
    def quotes(self, tokens: Sequence[int]) -> pl.DataFrame:
        """Fetch what instruments stand at, with the columns of QUOTE_SCHEMA.

        One row for each token, in the order they are asked for; what the broker does not list is
        left out. Quotes of one call may be seconds apart. As few requests are made as the broker
        allows: how many that is, and what it does not tell, is said by each.

        Raises:
            BrokerError: the broker refused, or did not answer.
            WaitInterrupted: the work was stopped before it was a request's turn.
        """

    @abstractmethod
    def listen(
        self,
        wanted: Callable[[], Mapping[int, Mode]],
        sink: Sink,
        stop: Event,
        patience: Callable[[], float] = lambda: FRAME_SECONDS,
    ) -> None:
        """Hand everything that arrives to `sink` until `stop` is set; reconnect as needed.

        `wanted` is asked about once a second for the tokens to be subscribed and their modes;
        a change is applied to the open connection. `patience` says how many seconds without a
        frame or heartbeat a connection may last before it is made anew. Exceptions from
        `sink` end the listening.

        Raises:
            TokenExpired: the broker refused the access token; a new one is needed.
            BrokerError: the line is lost for good.
        """

    @abstractmethod
    def profile(self) -> str:
        """Return the id of the account. The cheapest request that checks the access token.

        Raises:
            TokenExpired: there is no access token, or the broker refused it.
            BrokerError: the broker did not answer, or not in the expected form.
        """

    @abstractmethod
    def token_fingerprint(self) -> str:
        """Return something that changes when the access token in use does, and reveals nothing."""

    @abstractmethod
    def decoder(self) -> Decoder:
        """Return what reads the packets of a stream's frames, from its first connection on."""
