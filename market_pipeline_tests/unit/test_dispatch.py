"""The ledger of packets sent: what is read back, and what a kill leaves."""

import time
from pathlib import Path

import numpy as np
import pytest

from market_pipeline.errors import ConfigurationError
from market_pipeline.market import PACKET_COLUMNS, Columns, empty_packets
from market_pipeline.simulator.dispatch import (
    RECORD,
    Dispatch,
    read_connections,
    read_packets,
)


def packets(*prices: float) -> Columns:
    return empty_packets(len(prices)) | {"last_price": np.array(prices)}


def test_packets_are_read_back_as_they_were_recorded(tmp_path: Path) -> None:
    dispatch = Dispatch(tmp_path / "new" / "ledger")
    sent = packets(1.05, 2.1)
    dispatch.sent(dispatch.opened(), sent)
    found = read_packets(tmp_path / "new" / "ledger")
    for name in PACKET_COLUMNS:
        np.testing.assert_array_equal(found[name].to_numpy(), sent[name], strict=True)


def test_packets_are_numbered_on_each_connection(tmp_path: Path) -> None:
    dispatch = Dispatch(tmp_path)
    first, second = dispatch.opened(), dispatch.opened()
    for connection, prices in ((first, [1.0, 2.0]), (second, [3.0]), (first, [4.0])):
        dispatch.sent(connection, packets(*prices))
    found = read_packets(tmp_path)
    assert found.select("connection", "number", "last_price").rows() == [
        (first, 0, 1.0),
        (first, 1, 2.0),
        (second, 0, 3.0),
        (first, 2, 4.0),
    ]


def test_packets_are_stamped_with_this_machines_nanoseconds(tmp_path: Path) -> None:
    dispatch = Dispatch(tmp_path)
    before = time.time_ns()
    dispatch.sent(dispatch.opened(), packets(1.0))
    assert before <= read_packets(tmp_path)["sent_at"].item() <= time.time_ns()


def test_each_packet_of_a_frame_can_be_damaged(tmp_path: Path) -> None:
    dispatch = Dispatch(tmp_path)
    dispatch.sent(dispatch.opened(), packets(1.0, 2.0), np.array([False, True]))
    assert read_packets(tmp_path)["damaged"].to_list() == [False, True]


def test_a_connection_has_a_beginning_an_end_and_a_cause(tmp_path: Path) -> None:
    dispatch = Dispatch(tmp_path)
    connection = dispatch.opened()
    dispatch.closed(connection, "fault: drop")
    row = read_connections(tmp_path).row(0, named=True)
    assert (row["connection"], row["cause"]) == (connection, "fault: drop")
    assert row["opened_at"] <= row["closed_at"]


def test_an_open_connection_has_no_end(tmp_path: Path) -> None:
    Dispatch(tmp_path).opened()
    assert read_connections(tmp_path).select("closed_at", "cause").row(0) == (None, None)


def test_a_ledger_without_connections_is_empty(tmp_path: Path) -> None:
    Dispatch(tmp_path)
    assert read_packets(tmp_path).is_empty()
    assert read_connections(tmp_path).is_empty()


def test_a_torn_record_is_not_read(tmp_path: Path) -> None:
    dispatch = Dispatch(tmp_path)
    dispatch.sent(dispatch.opened(), packets(1.0, 2.0))
    tear(tmp_path / "packets.bin", 1)
    assert read_packets(tmp_path)["last_price"].to_list() == [1.0]


def test_a_ledger_goes_on_where_a_record_was_torn(tmp_path: Path) -> None:
    dispatch = Dispatch(tmp_path)
    dispatch.sent(dispatch.opened(), packets(1.0, 2.0))
    tear(tmp_path / "packets.bin", RECORD.itemsize - 1)
    again = Dispatch(tmp_path)
    again.sent(again.opened(), packets(3.0))
    assert read_packets(tmp_path)["last_price"].to_list() == [1.0, 3.0]


def test_ids_of_connections_go_on_in_a_ledger_that_is_opened_again(tmp_path: Path) -> None:
    first = Dispatch(tmp_path).opened()
    second = Dispatch(tmp_path).opened()
    assert second == first + 1
    assert read_connections(tmp_path)["connection"].to_list() == [first, second]


def test_a_torn_line_is_neither_read_nor_kept(tmp_path: Path) -> None:
    dispatch = Dispatch(tmp_path)
    kept = dispatch.opened()
    dispatch.closed(kept, "closed by the client")
    tear(tmp_path / "connections.jsonl", 5)
    assert read_connections(tmp_path)["closed_at"].to_list() == [None]
    assert Dispatch(tmp_path).opened() == kept + 1
    assert read_connections(tmp_path).height == 2


@pytest.mark.parametrize("read", [read_packets, read_connections])
def test_a_folder_without_a_ledger_is_refused(tmp_path: Path, read: object) -> None:
    with pytest.raises(ConfigurationError, match="no ledger"):
        read(tmp_path)  # type: ignore[operator]


def tear(path: Path, count: int) -> None:
    """Take the last bytes away, as a kill in the middle of a write does."""
    content = path.read_bytes()
    path.write_bytes(content[:-count])
