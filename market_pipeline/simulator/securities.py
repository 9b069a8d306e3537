"""Facts about what the simulated exchange lists: real names and tokens, plausible prices."""

from typing import NamedTuple


class Company(NamedTuple):
    symbol: str
    exchange_token: int
    name: str
    price: float


class Index(NamedTuple):
    symbol: str
    exchange_token: int
    value: float


class Contract(NamedTuple):
    """What futures are written on; `follows` names the index or company whose price they track."""

    symbol: str
    exchange: str
    follows: str | None
    price: float
    tick: float
    lot: int


INDICES = (
    Index("NIFTY 50", 1001, 24_500.0),
    Index("NIFTY BANK", 1016, 53_200.0),
    Index("NIFTY FIN SERVICE", 1007, 25_300.0),
    Index("NIFTY IT", 1015, 37_400.0),
    Index("NIFTY NEXT 50", 1058, 66_800.0),
    Index("NIFTY 100", 1018, 25_100.0),
)

_COMPANIES = """
RELIANCE 2885 1412.5 RELIANCE INDUSTRIES
HDFCBANK 1333 986.4 HDFC BANK
TCS 11536 3085.0 TATA CONSULTANCY SERV LT
BHARTIARTL 10604 1985.2 BHARTI AIRTEL
ICICIBANK 4963 1372.6 ICICI BANK
SBIN 3045 912.75 STATE BANK OF INDIA
INFY 1594 1521.3 INFOSYS
BAJFINANCE 317 1043.5 BAJAJ FINANCE
HINDUNILVR 1394 2466.8 HINDUSTAN UNILEVER
LT 11483 3872.1 LARSEN & TOUBRO
ITC 1660 407.35 ITC
MARUTI 10999 15860.0 MARUTI SUZUKI INDIA
HCLTECH 7229 1537.9 HCL TECHNOLOGIES
SUNPHARMA 3351 1684.2 SUN PHARMACEUTICAL IND L
KOTAKBANK 1922 2089.7 KOTAK MAHINDRA BANK
AXISBANK 5900 1233.1 AXIS BANK
M&M 2031 3487.0 MAHINDRA & MAHINDRA
ULTRACEMCO 11532 11920.0 ULTRATECH CEMENT
NTPC 11630 327.45 NTPC
TITAN 3506 3726.4 TITAN COMPANY
ONGC 2475 249.36 OIL AND NATURAL GAS CORP.
POWERGRID 14977 278.15 POWER GRID CORP.
ADANIPORTS 15083 1446.9 ADANI PORT & SEZ
BEL 383 411.6 BHARAT ELECTRONICS
WIPRO 3787 244.18 WIPRO
JSWSTEEL 11723 1164.3 JSW STEEL
TATASTEEL 3499 171.42 TATA STEEL
COALINDIA 20374 382.9 COAL INDIA
ASIANPAINT 236 2511.6 ASIAN PAINTS
NESTLEIND 17963 1268.7 NESTLE INDIA
HINDALCO 1363 803.55 HINDALCO INDUSTRIES
BAJAJ-AUTO 16669 8931.5 BAJAJ AUTO
BAJAJFINSV 16675 2057.8 BAJAJ FINSERV
ADANIENT 25 2418.2 ADANI ENTERPRISES
GRASIM 1232 2784.9 GRASIM INDUSTRIES
TECHM 13538 1447.3 TECH MAHINDRA
CIPLA 694 1529.4 CIPLA
DRREDDY 881 1258.8 DR. REDDY S LABORATORIES
EICHERMOT 910 6842.5 EICHER MOTORS
HEROMOTOCO 1348 5527.0 HERO MOTOCORP
BRITANNIA 547 5836.5 BRITANNIA INDUSTRIES
APOLLOHOSP 157 7615.0 APOLLO HOSPITALS ENTER. L
DIVISLAB 10940 6462.5 DIVI S LABORATORIES
INDUSINDBK 5258 793.2 INDUSIND BANK
TATACONSUM 3432 1161.4 TATA CONSUMER PRODUCT
SBILIFE 21808 1829.6 SBI LIFE INSURANCE CO
HDFCLIFE 467 748.35 HDFC LIFE INS CO
TRENT 1964 4692.8 TRENT
SHRIRAMFIN 4306 701.9 SHRIRAM FINANCE
PAGEIND 14413 41250.0 PAGE INDUSTRIES
"""


def _company(line: str) -> Company:
    symbol, exchange_token, price, name = line.split(maxsplit=3)
    return Company(symbol, int(exchange_token), name, float(price))


COMPANIES = tuple(_company(line) for line in _COMPANIES.strip().splitlines())

CONTRACTS = (
    Contract("NIFTY", "NFO", "NIFTY 50", 24_500.0, 0.1, 65),
    Contract("BANKNIFTY", "NFO", "NIFTY BANK", 53_200.0, 0.2, 30),
    Contract("RELIANCE", "NFO", "RELIANCE", 1412.5, 0.1, 500),
    Contract("HDFCBANK", "NFO", "HDFCBANK", 986.4, 0.05, 550),
    Contract("SBIN", "NFO", "SBIN", 912.75, 0.05, 750),
    Contract("INFY", "NFO", "INFY", 1521.3, 0.1, 400),
    Contract("TCS", "NFO", "TCS", 3085.0, 0.1, 175),
    Contract("USDINR", "CDS", None, 88.5, 0.0025, 1000),
    Contract("EURINR", "CDS", None, 102.75, 0.0025, 1000),
    Contract("GOLD", "MCX", None, 121_450.0, 1.0, 1),
    Contract("SILVER", "MCX", None, 152_300.0, 1.0, 1),
    Contract("CRUDEOIL", "MCX", None, 5_310.0, 1.0, 1),
)


class Chain(NamedTuple):
    """Options around the price of an index."""

    symbol: str
    follows: str
    price: float
    step: int
    lot: int


CHAINS = (
    Chain("NIFTY", "NIFTY 50", 24_500.0, 50, 65),
    Chain("BANKNIFTY", "NIFTY BANK", 53_200.0, 100, 30),
)


def equity_tick(price: float) -> float:
    """Return the tick size the NSE prescribes for an equity of that price."""
    bands = ((250, 0.01), (1_000, 0.05), (5_000, 0.1), (10_000, 0.5), (20_000, 1.0))
    return next((tick for limit, tick in bands if price < limit), 5.0)
