"""What can go wrong at the simulated Fyers, beyond and other than at any broker."""

from market_pipeline.simulator import fyers_disturbances
from market_pipeline.simulator.faults import Accounts, Budgets, Faults
from market_pipeline.simulator.fyers_feed import DataSocket


class FyersFaults(Faults):
    """Adds those of the data socket's login and of what the SDK asks before it subscribes."""

    def __init__(self, ticker: DataSocket, accounts: Accounts, budgets: Budgets) -> None:
        super().__init__(ticker, accounts, budgets)
        self._socket = ticker
        self.symbol_token_status: int | None = None
        self._by_name |= {"refuse": self.refuse, "symbol_token": self.symbol_token}

    async def refuse(self, on: bool = True) -> None:
        """Answer logins of the data socket with a failure; the connection stays."""
        self._socket.refuses_login = on

    async def symbol_token(self, status: int | None = 502) -> None:
        """Answer /data/symbol-token with a page of HTML; None answers as usual."""
        self.symbol_token_status = status

    async def malformed(self, payload: str = fyers_disturbances.MALFORMED_FRAME.hex()) -> None:
        """Send a frame of any bytes, given in hexadecimal, to all connections."""
        await super().malformed(payload)

    async def garbage_length(self, frames: int = 1) -> None:
        """Overwrite the number of values of a packet in the middle of the next frames."""
        self._ticker.disturb(fyers_disturbances.GARBAGE_LENGTH, frames)

    async def clear(self) -> None:
        """Return every switch to normal; frames that are held back are still sent."""
        await super().clear()
        self._socket.refuses_login = False
        self.symbol_token_status = None
