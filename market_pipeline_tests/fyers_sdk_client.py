"""The vendor's own library against a simulated Fyers, in a process of its own.

Its threads do not end and its class is a singleton, so whoever starts this kills it. What it hears
is printed as lines of JSON: [kind, content].
"""

import importlib
import json
import sys
import tempfile
from typing import Any


def say(kind: str, content: object) -> None:
    sys.stdout.write(json.dumps([kind, content], default=str) + "\n")
    sys.stdout.flush()


def module(name: str) -> Any:
    """Import a part of the library, of which nothing is known to a type checker."""
    return importlib.import_module(f"fyers_apiv3.{name}")


def point_at(url: str) -> None:
    """Overwrite all addresses that the library has built in, but that of the data socket."""
    model = module("fyersModel")
    data_ws = module("FyersWebsocket.data_ws")
    defines = module("FyersWebsocket.defines")
    model.Config.API = f"{url}/api/v3"
    model.Config.DATA_API = f"{url}/data"
    defines.INDEX_HSM_MAPPING_API = f"{url}/sym_details/index_hsm_mapping.json"
    conversion = data_ws.SymbolConversion

    def pointed(*arguments: Any) -> Any:
        made = conversion(*arguments)
        made.symbols_token_api = f"{url}/data/symbol-token"
        return made

    data_ws.SymbolConversion = pointed


def listen(url: str, token: str, symbols: list[str], data_type: str, litemode: bool) -> None:
    """Subscribe when the library says that it is connected, and say all it tells."""
    data_ws = module("FyersWebsocket.data_ws")

    def subscribe() -> None:
        say("connect", None)
        socket.subscribe(symbols, data_type)

    socket = data_ws.FyersDataSocket(
        access_token=token,
        log_path=tempfile.mkdtemp(),
        litemode=litemode,
        on_message=lambda message: say("message", message),
        on_error=lambda message: say("error", message),
        on_connect=subscribe,
        on_close=lambda message: say("close", message),
    )
    socket._FyersDataSocket__url = f"{url.replace('http', 'ws', 1)}/hsm/v1-5/prod"
    socket.connect()


def ask(app_id: str, secret: str, code: str, symbol: str) -> None:
    """Log in with a code, and ask for one of everything."""
    model = module("fyersModel")
    session = model.SessionModel(
        client_id=app_id, secret_key=secret, grant_type="authorization_code"
    )
    session.set_token(code)
    token = session.generate_token()["access_token"]
    client = model.FyersModel(client_id=app_id, token=token, log_path=tempfile.mkdtemp())
    history = {
        "symbol": symbol,
        "resolution": "D",
        "date_format": "1",
        "range_from": "2026-11-20",
        "range_to": "2026-11-22",
        "cont_flag": "0",
    }
    say("profile", client.get_profile())
    say("history", client.history(history))
    say("quotes", client.quotes({"symbols": symbol}))
    say("depth", client.depth({"symbol": symbol, "ohlcv_flag": "1"}))
    say("status", client.market_status())


if __name__ == "__main__":
    job = json.loads(sys.argv[1])
    point_at(job.pop("address"))
    (listen if job.pop("job") == "listen" else ask)(**job)
