"""What reads the packets of frames. Of some brokers a frame depends on those before it."""

from collections.abc import Callable, Sequence
from typing import Protocol, Self

from market_pipeline.market import Decoded


class Decoder(Protocol):
    """Reads the frames of one stream in their order; the same frames give the same packets however
    they are divided. Pure but for what it remembers: it never raises, and takes CPU time alone."""

    remembers: bool
    """Whether a frame can be understood only with those before it on its connection."""

    def decode(self, frames: Sequence[bytes]) -> Decoded:
        """Read the packets of the next frames of a connection."""

    def tells(self, frame: bytes) -> bool:
        """Tell at little cost whether a frame may hold packets; heartbeats and answers do not."""

    def reset(self) -> None:
        """Begin a new connection: nothing before it matters."""

    def copy(self) -> Self:
        """Return a decoder that goes on from here without changing this one."""

    def state(self) -> bytes:
        """Write down what is remembered; nothing where nothing is."""

    def load(self, state: bytes) -> None:
        """Go on from a state that was written down.

        Raises:
            ValueError: it is not one of this decoder's.
        """


class Stateless:
    """The decoder of a broker each of whose frames says all there is to know."""

    remembers = False

    def __init__(
        self,
        decode: Callable[[Sequence[bytes]], Decoded],
        tells: Callable[[bytes], bool] = lambda frame: len(frame) > 1,
    ) -> None:
        self.decode = decode
        self.tells = tells

    def reset(self) -> None:
        """Do nothing: there is nothing to forget."""

    def copy(self) -> Self:
        return self

    def state(self) -> bytes:
        return b""

    def load(self, state: bytes) -> None:
        if state:
            raise ValueError(f"{len(state)} bytes of state for a decoder that has none")
