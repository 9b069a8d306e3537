"""The registry: every broker by the name it has in the settings."""

from collections.abc import Callable
from datetime import UTC, datetime

from pydantic import SecretStr

from market_pipeline.brokers import fyers_rest
from market_pipeline.brokers.base import Broker
from market_pipeline.brokers.fyers import Fyers
from market_pipeline.brokers.kite import Kite
from market_pipeline.brokers.limits import (
    BudgetStore,
    Limiter,
    LocalBudgets,
    Priority,
    fingerprint,
)
from market_pipeline.brokers.login import TokenStore, follow_login
from market_pipeline.config import BrokerName, Settings

_SIMULATOR_SECRET = SecretStr("simulator")
_OURS = LocalBudgets()

Turns = Callable[[str], Limiter]
"""Makes the limiter of an account."""


def token_store(settings: Settings) -> TokenStore:
    """Return the place where access tokens are kept."""
    return TokenStore(settings.market_pipeline_home / "tokens")


def log_in_to_simulator(settings: Settings) -> None:
    """Log in without a user, and keep the token.

    Raises:
        BrokerError: the simulator did not answer, or not as expected.
    """
    if settings.broker is BrokerName.FYERS_SIMULATOR:
        fyers = _fyers_simulator(settings, _turns(settings.broker))
        auth_code = follow_login(fyers.login_url(settings.fyers_redirect_uri), "auth_code")
        token = fyers.exchange_auth_code(auth_code, _SIMULATOR_SECRET)
        keep_fyers_token(settings, token, settings.broker)
        return
    simulator = _simulator(settings, _turns(BrokerName.SIMULATOR))
    request_token = follow_login(simulator.login_url())
    token = simulator.exchange_request_token(request_token, _SIMULATOR_SECRET)
    token_store(settings).save(BrokerName.SIMULATOR, token, datetime.now(UTC))


def keep_fyers_token(
    settings: Settings, token: SecretStr, broker: BrokerName = BrokerName.FYERS
) -> datetime:
    """Keep an access token of Fyers, or of the simulated one, and return when it expires.

    Raises:
        TokenExpired: it is no token of Fyers.
    """
    until = fyers_rest.expires_at(token.get_secret_value())
    token_store(settings).save(broker, token, datetime.now(UTC), until)
    return until


def _kite(settings: Settings, turns: Turns) -> Kite:
    def token() -> SecretStr | None:
        return settings.kite_access_token or _stored(settings, BrokerName.KITE)

    # Streaming needs no secret; kite_credentials() says what to do where the key is missing.
    key = settings.kite_api_key or settings.kite_credentials()[0]
    return Kite(
        key,
        token,
        logins=lambda: token_store(settings).last_login(BrokerName.KITE),
        limiter=turns(key),
    )


def _simulator(settings: Settings, turns: Turns) -> Kite:
    root = settings.simulator_url
    return Kite(
        BrokerName.SIMULATOR,
        lambda: _stored(settings, BrokerName.SIMULATOR),
        rest_root=root,
        ticker_root=root.replace("http", "ws", 1),
        logins=lambda: token_store(settings).last_login(BrokerName.SIMULATOR),
        limiter=turns(f"{BrokerName.SIMULATOR} {root}"),
    )


def _fyers(settings: Settings, turns: Turns) -> Fyers:
    def token() -> SecretStr | None:
        return settings.fyers_access_token or _stored(settings, BrokerName.FYERS)

    app_id = settings.fyers_app_id or settings.fyers_credentials()[0]
    return Fyers(
        app_id,
        token,
        logins=lambda: token_store(settings).last_login(BrokerName.FYERS),
        limiter=turns(app_id),
    )


def _fyers_simulator(settings: Settings, turns: Turns) -> Fyers:
    name, root = BrokerName.FYERS_SIMULATOR, settings.simulator_url
    return Fyers(
        BrokerName.SIMULATOR,
        lambda: _stored(settings, name),
        root=root,
        logins=lambda: token_store(settings).last_login(name),
        limiter=turns(f"{name} {root}"),
    )


def _stored(settings: Settings, broker: BrokerName) -> SecretStr | None:
    return token_store(settings).current(broker, datetime.now(UTC))


BROKERS: dict[BrokerName, Callable[[Settings, Turns], Broker]] = {
    BrokerName.KITE: _kite,
    BrokerName.FYERS: _fyers,
    BrokerName.SIMULATOR: _simulator,
    BrokerName.FYERS_SIMULATOR: _fyers_simulator,
}


def open_broker(
    settings: Settings,
    budgets: BudgetStore | None = None,
    priority: Priority = Priority.URGENT,
    stop: Callable[[], bool] = bool,
) -> Broker:
    """Return the broker the settings name, for work of one priority.

    Its requests count against `budgets`, by default those of this process alone; waiting for them
    ends when `stop` says so.

    Raises:
        ConfigurationError: a setting that it needs is missing.
    """
    return BROKERS[settings.broker](settings, _turns(settings.broker, budgets, priority, stop))


def _turns(
    broker: BrokerName,
    budgets: BudgetStore | None = None,
    priority: Priority = Priority.URGENT,
    stop: Callable[[], bool] = bool,
) -> Turns:
    return lambda key: Limiter(budgets or _OURS, broker.value, fingerprint(key), priority, stop)
