"""Access tokens: where they are kept, how long they are good, how the simulator gives one."""

import http.client
import json
import os
import tempfile
from datetime import datetime, time, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from pydantic import SecretStr

from market_pipeline.errors import BrokerUnavailable, ConfigurationError, UnexpectedReply
from market_pipeline.sessions import to_ist

_RENEWAL = time(6, 0)  # IST, see access_token in https://kite.trade/docs/connect/v3/user/
_TIMEOUT_SECONDS = 10.0


class TokenStore:
    """One file for each broker, readable by its owner only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(
        self, broker: str, token: SecretStr, at: datetime, until: datetime | None = None
    ) -> None:
        """Keep the token that was issued at an instant. A reader sees the old or the new one.

        It is good `until` an instant, where the broker says so, or else as expires_at tells.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        content = {
            "access_token": token.get_secret_value(),
            "issued_at": at.isoformat(),
            "expires_at": (until or expires_at(at)).isoformat(),
        }
        # mkstemp creates the file with mode 0600: it is never readable by others, not even briefly.
        descriptor, temporary = tempfile.mkstemp(dir=self._folder, prefix=f".{broker}-")
        try:
            with os.fdopen(descriptor, "w") as file:
                json.dump(content, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._path(broker))
        finally:
            Path(temporary).unlink(missing_ok=True)

    def current(self, broker: str, now: datetime) -> SecretStr | None:
        """Return the token, None where there is none or it expired.

        Raises:
            ConfigurationError: the file cannot be read.
        """
        found = self._read(broker)
        return found[0] if found and now < found[1] else None

    def ends_at(self, broker: str) -> datetime | None:
        """Return until when the token is good or was, None where there is none.

        Raises:
            ConfigurationError: the file cannot be read.
        """
        found = self._read(broker)
        return found[1] if found else None

    def _read(self, broker: str) -> tuple[SecretStr, datetime] | None:
        path = self._path(broker)
        try:
            content = json.loads(path.read_text())
            token = SecretStr(content["access_token"])
            issued_at = to_ist(datetime.fromisoformat(content["issued_at"]))
            until = content.get("expires_at")  # not there in files of earlier versions
            ends_at = to_ist(datetime.fromisoformat(until)) if until else expires_at(issued_at)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"{path} cannot be read ({type(error).__name__}): delete it and log in again"
            ) from None
        return token, ends_at

    def last_login(self, broker: str) -> int:
        """Return something that rises with each login, 0 before the first."""
        try:
            return self._path(broker).stat().st_mtime_ns
        except OSError:
            return 0

    def _path(self, broker: str) -> Path:
        return self._folder / f"{broker}.json"


def expires_at(issued_at: datetime) -> datetime:
    """Return when a token dies that does not say so: at the next 06:00 IST, as the exchanges' rule
    is."""
    local = to_ist(issued_at)
    renewal = datetime.combine(local.date(), _RENEWAL, local.tzinfo)
    return renewal if local < renewal else renewal + timedelta(days=1)


def follow_login(url: str, answer: str = "request_token") -> str:
    """Open a login page that asks for nothing, as the simulator's, and return its answer.

    `answer` is how the broker calls that in the address it redirects to.

    Raises:
        BrokerUnavailable: nobody answers at that address.
        UnexpectedReply: the answer is not a redirect with such a thing.
    """
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.netloc, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", f"{address.path}?{address.query}")
        response = connection.getresponse()
        location = response.getheader("Location", "")
    except (OSError, http.client.HTTPException) as error:
        raise BrokerUnavailable(
            f"no answer from {address.netloc} ({type(error).__name__})"
        ) from None
    finally:
        connection.close()
    found = parse_qs(urlsplit(location).query).get(answer)
    if not found:
        raise UnexpectedReply(f"{address.netloc} did not redirect with a {answer}")
    return found[0]
