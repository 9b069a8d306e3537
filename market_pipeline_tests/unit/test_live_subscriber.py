"""What waits for a client is bounded, and what is said of it is exact."""

import asyncio
import json
import random
from collections.abc import Iterator
from typing import Any, cast

import pytest

from market_pipeline.api.live import endpoint, subscriber
from market_pipeline.api.live.hub import Hub
from market_pipeline.api.live.subscriber import Subscriber
from market_pipeline.api.live.ticks import FIELDS, LiveTick
from market_pipeline.market import Mode


def tick(number: int, instrument: int = 1, stream: str = "kite-0") -> LiveTick:
    values = dict.fromkeys(FIELDS[Mode.FULL]) | {"instrument_id": instrument, "last_price": number}
    return LiveTick(stream, number, f"NSE:{instrument}", values)


def following(*instruments: int, positions: dict[str, int] | None = None) -> Subscriber:
    made = Subscriber(positions if positions is not None else {})
    made.modes = dict.fromkeys(instruments, Mode.LTP)
    return made


def sent(client: Subscriber) -> Iterator[dict[str, Any]]:
    while (text := client.take()) is not None:
        yield json.loads(text)


def prices(messages: list[dict[str, Any]]) -> list[int]:
    return [each["last_price"] for message in messages for each in message["ticks"]]


def test_a_client_that_keeps_up_gets_every_tick() -> None:
    client = following(1)
    for number in range(3):
        client.offer(tick(number))
    (message,) = sent(client)
    assert prices([message]) == [0, 1, 2] and message["lost"] == 0


def test_above_the_bound_the_newest_of_each_instrument_is_kept_and_the_rest_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscriber, "MOST_PENDING", 4)
    client = following(1, 2)
    for number, instrument in enumerate([2, 1, 1, 2, 1]):
        client.offer(tick(number, instrument))
    (message,) = sent(client)
    assert prices([message]) == [3, 4] and message["lost"] == 3


def test_lost_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriber, "MOST_PENDING", 1)
    client = following(1)
    client.offer(tick(0))
    client.offer(tick(1))
    assert [message["lost"] for message in sent(client)] == [1]
    client.offer(tick(2))
    assert [message["lost"] for message in sent(client)] == [0]


@pytest.mark.parametrize("seed", range(20))
def test_what_is_sent_and_what_is_lost_are_all_in_order(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriber, "MOST_PENDING", 7)
    monkeypatch.setattr(subscriber, "MESSAGE_TICKS", 3)
    generator = random.Random(seed)
    client = following(1, 2, 3)
    messages: list[dict[str, Any]] = []
    newest: dict[int, int] = {}
    for number in range(200):
        newest[instrument := generator.randrange(1, 4)] = number
        client.offer(tick(number, instrument))
        if generator.random() < 0.2 and (text := client.take()):
            messages.append(json.loads(text))
    messages += sent(client)
    seen = prices(messages)
    assert seen == sorted(set(seen))
    assert len(seen) + sum(message["lost"] for message in messages) == 200
    assert set(newest.values()) <= set(seen)


def test_seq_says_up_to_where_everything_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriber, "MESSAGE_TICKS", 2)
    client = following(1, positions={"kite-0": 9, "kite-1": 4})
    for number in (3, 5, 7):
        client.offer(tick(number))
    first, second = sent(client)
    assert first["seq"]["kite-0"] == 6  # with 5, and not with 7
    assert second["seq"] == {"kite-0": 9, "kite-1": 4}  # 8 was of no interest


def test_while_old_ticks_are_sent_seq_is_where_they_are() -> None:
    client = following(1, positions={"kite-0": 100})
    client.behind = {"kite-0": 20}
    client.offer(tick(19))
    (message,) = sent(client)
    assert message["seq"] == {"kite-0": 20} == client.seq()


def test_a_candle_that_waits_is_replaced_by_its_next_state() -> None:
    client = following()
    client.offer_candle(1, 60, '{"close":1}')
    client.offer_candle(1, 60, '{"close":2}')
    client.offer_candle(1, 120, '{"close":3}')
    (message,) = sent(client)
    assert message["candles"] == [{"close": 2}, {"close": 3}]


def test_ticks_and_candles_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriber, "MESSAGE_TICKS", 1)
    client = following(1)
    for number in range(2):
        client.offer(tick(number))
        client.offer_candle(1, number, "{}")
    assert [message["type"] for message in sent(client)] == ["ticks", "candles"] * 2


def test_a_message_has_at_most_so_many_candles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriber, "MESSAGE_TICKS", 2)
    client = following()
    for minute in range(3):
        client.offer_candle(1, minute, str(minute))
    assert [message["candles"] for message in sent(client)] == [[0, 1], [2]]


def test_above_the_bound_the_newest_minute_of_each_instrument_is_kept_and_the_rest_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(subscriber, "MOST_CANDLES", 4)
    client = following()
    client.candles = {1, 2}
    for instrument, minute in [(1, 60), (2, 60), (1, 120), (3, 60), (1, 0)]:
        client.offer_candle(instrument, minute, f"[{instrument},{minute}]")
    client.offer_candle(2, 120, "[2,120]")
    (message,) = sent(client)
    assert message["candles"] == [[2, 60], [1, 120], [2, 120]]
    assert message["lost"] == 2  # what is no longer wanted is not lost


def test_candles_that_are_lost_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriber, "MOST_CANDLES", 1)
    client = following()
    client.candles = {1}
    client.offer_candle(1, 0, "{}")
    client.offer_candle(1, 60, "{}")
    assert [message["lost"] for message in sent(client)] == [1]
    client.offer_candle(1, 60, "{}")
    assert [message["lost"] for message in sent(client)] == [0]


def test_answers_go_before_ticks() -> None:
    client = following(1)
    client.offer(tick(1))
    client.tell("subscribed")
    assert [message["type"] for message in sent(client)] == ["subscribed", "ticks"]


def test_nothing_is_sent_of_what_was_unsubscribed_meanwhile() -> None:
    client = following(1, 2)
    client.offer(tick(1, 1))
    client.offer(tick(2, 2))
    del client.modes[1]
    assert prices(list(sent(client))) == [2]


def test_heartbeats_come_while_ticks_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "HEARTBEAT_SECONDS", 0.01)
    client = following(1)
    seen: set[str] = set()

    class Slow:
        """Before it has taken one message there is another."""

        async def send_text(self, text: str) -> None:
            seen.add(json.loads(text)["type"])
            client.offer(tick(len(seen)))
            await asyncio.sleep(0.001)

    async def send() -> None:
        hub = Hub(cast(Any, None), cast(Any, None))
        client.offer(tick(0))
        client.rouse()
        sending = asyncio.create_task(endpoint._send(cast(Any, Slow()), hub, client))
        async with asyncio.timeout(10):
            while "heartbeat" not in seen:
                await asyncio.sleep(0.01)
        sending.cancel()

    asyncio.run(send())
    assert seen == {"ticks", "heartbeat"}


def test_who_waits_for_ticks_to_be_sent_does_not_wait_for_candles() -> None:
    async def wait() -> list[bool]:
        client = following(1)
        client.offer(tick(0))
        waiting = asyncio.ensure_future(client.room(is_all=True))
        were_done = []
        for minute in range(3):  # each is taken when the message before was sent
            client.offer_candle(1, minute, "{}")
            client.take()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            were_done.append(waiting.done())
        return were_done

    assert asyncio.run(wait()) == [False, True, True]


def test_who_asks_and_does_not_read_waits() -> None:
    async def ask() -> bool:
        client = following()
        for _ in range(200):
            client.tell("subscribed")
        waiting = asyncio.ensure_future(client.room())
        await asyncio.sleep(0)
        was_waiting = not waiting.done()
        list(sent(client))
        await asyncio.wait_for(waiting, 5)
        return was_waiting

    assert asyncio.run(ask())
