"""Fyers' symbol masters, read: what can be traded, in our terms. No I/O, no clock."""

import logging

import polars as pl

from market_pipeline.brokers.fyers_indices import BY_TICKER
from market_pipeline.brokers.fyers_wire import token_of
from market_pipeline.errors import UnexpectedReply
from market_pipeline.market import INSTRUMENT_SCHEMA, Exchange, Kind, Segment
from market_pipeline.sessions import EXCHANGE_TZ

log = logging.getLogger(__name__)

_MARKETS = {
    "1010": (Exchange.NSE, Segment.CM),
    "1011": (Exchange.NFO, Segment.FO),
    "1012": (Exchange.CDS, Segment.CD),
    "1020": (Exchange.NCO, Segment.COM),
    "1120": (Exchange.MCX, Segment.COM),
    "1210": (Exchange.BSE, Segment.CM),
    "1211": (Exchange.BFO, Segment.FO),
    "1212": (Exchange.BCD, Segment.CD),
}
"""Exchange and segment by Fyers' codes of both."""
_EXCHANGES = {codes: exchange.value for codes, (exchange, _) in _MARKETS.items()}
_SEGMENTS = {codes: segment.value for codes, (_, segment) in _MARKETS.items()}
_COLUMNS = (
    "fy_token name instrument_type lot_size tick_size isin session updated expiry ticker "
    "exchange_code segment_code exchange_token underlying underlying_token strike option_type "
    "underlying_fy_token _ _ _"
).split()
_NEVER_EMPTY = ["ticker", "exchange_code", "segment_code", "exchange_token", "option_type"]


def parse_master(csv: bytes) -> pl.DataFrame:
    """Read the symbol master of one segment into the columns of INSTRUMENT_SCHEMA.

    Source: https://public.fyers.in/sym_details/NSE_CM.csv and its siblings, which have no header.
    Contracts have the symbols that Kite gives them, but where the brokers write a name differently.
    An index that is in fyers_indices has Kite's symbol and exchange token, so that both brokers
    mean one instrument; another has its ticker for an exchange token, which no other broker's
    equals. Rows of kinds this package does not know are left out and counted in the log; of rows
    that repeat a token the first is kept.

    Raises:
        UnexpectedReply: it is not a master, misses columns or holds unreadable values.
    """
    master = _read_csv(csv)
    try:
        known = _normalised(master).filter(
            pl.col("exchange").is_not_null(), pl.col("kind").is_in(list(Kind))
        )
    except (ValueError, pl.exceptions.PolarsError) as error:
        raise UnexpectedReply(f"a value in the symbol master is unreadable: {error}") from None
    if not len(known):
        raise UnexpectedReply("the symbol master holds no instrument of a known exchange")
    unique = known.unique("token", keep="first", maintain_order=True)
    if left_out := len(master) - len(known):
        log.info("%d instruments left out (of unknown exchanges or kinds)", left_out)
    if repeated := len(known) - len(unique):
        log.warning("%d rows repeat a token; the first was kept", repeated)
    return unique


def _read_csv(csv: bytes) -> pl.DataFrame:
    if csv[:200].lstrip()[:1] == b"<":
        raise UnexpectedReply("a web page came instead of the symbol master")
    try:
        master = pl.read_csv(csv, has_header=False, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise UnexpectedReply(f"the symbol master cannot be read as CSV: {error}") from None
    if master.width < len(_COLUMNS):
        raise UnexpectedReply(
            f"the symbol master has {master.width} columns instead of {len(_COLUMNS)}"
        )
    named = [(old, new) for old, new in zip(master.columns, _COLUMNS, strict=False) if new != "_"]
    master = master.select(
        pl.col(old).str.strip_chars().replace("", None).alias(new) for old, new in named
    )
    incomplete = master.filter(pl.any_horizontal(pl.col(_NEVER_EMPTY).is_null()))
    if len(incomplete):
        raise UnexpectedReply(f"{len(incomplete)} rows of the symbol master are incomplete")
    return master


def _normalised(master: pl.DataFrame) -> pl.DataFrame:
    codes = pl.concat_str("exchange_code", "segment_code")
    ticker = pl.col("ticker")
    is_index = ticker.str.ends_with("-INDEX")
    is_option = pl.col("option_type").is_in([Kind.CE, Kind.PE])
    is_derivative = pl.col("expiry").is_not_null()
    expiry = pl.from_epoch(pl.col("expiry").cast(pl.Int64)).dt.replace_time_zone("UTC")
    columns = {
        "token": _tokens(master),
        "broker_symbol": ticker,
        "exchange": codes.replace_strict(_EXCHANGES, default=None),
        "segment": pl.when(is_index)
        .then(pl.lit(Segment.INDEX.value))
        .otherwise(codes.replace_strict(_SEGMENTS, default=None)),
        "exchange_token": pl.when(is_index)
        .then(_of_index("exchange_token", otherwise=ticker))
        .otherwise("exchange_token"),
        "symbol": _symbol(is_index, is_derivative),
        "name": pl.col("name"),
        "kind": _kind(is_index, is_derivative, is_option),
        "underlying": pl.when(is_derivative).then("underlying"),
        "expiry": expiry.dt.convert_time_zone(EXCHANGE_TZ.key).dt.date(),
        "strike": pl.when(is_option).then(pl.col("strike").cast(pl.Float64)),
        "lot_size": pl.when(~is_index).then(pl.col("lot_size").cast(pl.Float64)),
        "tick_size": pl.when(~is_index).then(pl.col("tick_size").cast(pl.Float64)),
    }
    return master.select(**columns).cast(INSTRUMENT_SCHEMA)  # type: ignore[arg-type]


def _tokens(master: pl.DataFrame) -> pl.Series:
    keys = master.select("exchange_code", "segment_code", "exchange_token").iter_rows()
    return pl.Series("token", [token_of(int(e), int(s), token) for e, s, token in keys], pl.Int64)


def _of_index(attribute: str, otherwise: pl.Expr) -> pl.Expr:
    known = {ticker: getattr(index, attribute) for ticker, index in BY_TICKER.items()}
    return pl.coalesce(pl.col("ticker").replace_strict(known, default=None), otherwise)


def _symbol(is_index: pl.Expr, is_derivative: pl.Expr) -> pl.Expr:
    """Write symbols as Kite does: at NSE the series EQ is left out, at BSE the group always."""
    short = pl.col("ticker").str.split(":").list.last()
    is_bse = pl.col("ticker").str.starts_with("BSE:")
    return (
        pl.when(is_index)
        .then(_of_index("symbol", otherwise=short.str.strip_suffix("-INDEX")))
        .when(is_derivative)
        .then(short)
        .when(is_bse)
        .then(short.str.replace(r"-[A-Z0-9]{1,2}$", ""))
        .otherwise(short.str.strip_suffix("-EQ"))
    )


def _kind(is_index: pl.Expr, is_derivative: pl.Expr, is_option: pl.Expr) -> pl.Expr:
    """Tell the kind; contracts without an expiry outside of cash markets are of none we know."""
    return (
        pl.when(is_index)
        .then(pl.lit(Kind.INDEX.value))
        .when(is_derivative & is_option)
        .then("option_type")
        .when(is_derivative & (pl.col("option_type") == "XX"))
        .then(pl.lit(Kind.FUT.value))
        .when(~is_derivative & (pl.col("segment_code") == "10"))
        .then(pl.lit(Kind.EQ.value))
    )
