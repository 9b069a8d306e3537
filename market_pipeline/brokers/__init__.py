"""The registry: every broker by the name it has in the settings."""

from collections.abc import Callable
from datetime import UTC, datetime

from pydantic import SecretStr

from market_pipeline.brokers.base import Broker
from market_pipeline.brokers.kite import Kite
from market_pipeline.brokers.login import TokenStore, follow_login
from market_pipeline.config import BrokerName, Settings

_SIMULATOR_SECRET = SecretStr("simulator")


def token_store(settings: Settings) -> TokenStore:
    """Return the place where access tokens are kept."""
    return TokenStore(settings.market_pipeline_home / "tokens")


def log_in_to_simulator(settings: Settings) -> None:
    """Log in without a user, and keep the token.

    Raises:
        BrokerError: the simulator did not answer, or not as expected.
    """
    simulator = _simulator(settings)
    request_token = follow_login(simulator.login_url())
    token = simulator.exchange_request_token(request_token, _SIMULATOR_SECRET)
    token_store(settings).save(BrokerName.SIMULATOR, token, datetime.now(UTC))


def _kite(settings: Settings) -> Kite:
    def token() -> SecretStr | None:
        return settings.kite_access_token or _stored(settings, BrokerName.KITE)

    # Streaming needs no secret; kite_credentials() says what to do where the key is missing.
    key = settings.kite_api_key or settings.kite_credentials()[0]
    return Kite(key, token, logins=lambda: token_store(settings).last_login(BrokerName.KITE))


def _simulator(settings: Settings) -> Kite:
    root = settings.simulator_url
    return Kite(
        BrokerName.SIMULATOR,
        lambda: _stored(settings, BrokerName.SIMULATOR),
        rest_root=root,
        ticker_root=root.replace("http", "ws", 1),
        logins=lambda: token_store(settings).last_login(BrokerName.SIMULATOR),
    )


def _stored(settings: Settings, broker: BrokerName) -> SecretStr | None:
    return token_store(settings).current(broker, datetime.now(UTC))


BROKERS: dict[BrokerName, Callable[[Settings], Broker]] = {
    BrokerName.KITE: _kite,
    BrokerName.SIMULATOR: _simulator,
}


def open_broker(settings: Settings) -> Broker:
    """Return the broker the settings name.

    Raises:
        ConfigurationError: a setting that it needs is missing.
    """
    return BROKERS[settings.broker](settings)
