"""What an observer makes of packets, as plain lists."""

from market_pipeline.market import Columns
from market_pipeline.streaming.observations import Observer
from market_pipeline_tests.builders import DAY, OPEN, Packet, arrivals

YESTERDAY = Packet(volume=900, at=-DAY, received_at=-60)


def observe(*packets: Packet, observer: Observer | None = None) -> Columns:
    return (observer or Observer()).observe(arrivals(*packets))


def volumes(*packets: Packet) -> list[int]:
    return [int(volume) for volume in observe(*packets)["volume"]]


def trades(*packets: Packet) -> list[bool]:
    return [bool(is_trade) for is_trade in observe(*packets)["is_trade"]]


def times(*packets: Packet) -> list[float]:
    return [float(time) for time in observe(*packets)["time"] / 1e6 - OPEN]


def extremes(*packets: Packet) -> list[tuple[float, float]]:
    ticks = observe(*packets)
    return list(zip(ticks["high"].tolist(), ticks["low"].tolist(), strict=True))


def anomalies(*packets: Packet) -> int:
    observer = Observer()
    observe(*packets, observer=observer)
    return observer.anomalies
