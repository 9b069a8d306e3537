"""One client of Kite's WebSocket: each instrument in the mode that was chosen for it."""

import numpy as np
from numpy.typing import NDArray

from market_pipeline.brokers import kite_wire
from market_pipeline.market import Columns, Mode
from market_pipeline.simulator.connection import Connection, Frame
from market_pipeline.simulator.noise import Int

MODES = (None, Mode.LTP, Mode.QUOTE, Mode.FULL)  # by the code that a connection keeps
_PACKETS_A_FRAME = 1_000


class KiteConnection(Connection):
    """Sends packets as frames of Kite's."""

    async def send_packets(self, rows: Int, packets: Columns) -> None:
        """Send those packets that are subscribed to, each in its mode."""
        codes = np.where(self._muted[rows], 0, self.modes[rows])
        for code in np.unique(codes[codes > 0]):
            mode = MODES[code] or Mode.QUOTE
            chosen = np.flatnonzero(codes == code)
            for start in range(0, len(chosen), _PACKETS_A_FRAME):
                part = chosen[start : start + _PACKETS_A_FRAME]
                columns = {name: values[part] for name, values in packets.items()}
                payload = kite_wire.encode(columns, mode)
                await self._disturb_or_send(Frame(payload, columns, mode, len(part)))

    def _read(self, payload: bytes) -> Columns:
        return kite_wire.decode([payload]).packets

    def _record_of(self, frame: Frame) -> tuple[Columns, NDArray[np.bool_]]:
        damaged = np.arange(frame.size) >= frame.whole
        return kite_wire.carried(frame.packets, frame.mode), damaged
