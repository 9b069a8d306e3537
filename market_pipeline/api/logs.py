"""Structured logs: a line an event, as JSON or for people, with the request it belongs to."""

import logging
import sys
from typing import Any

import structlog

from market_pipeline.config import Settings


def configure(settings: Settings) -> None:
    """Send everything that is logged, by libraries too, to stderr as LOG_FORMAT says."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_rendering(settings.log_format),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for name in ("httpx", "httpcore"):  # each of their lines is a request to Dagster
        logging.getLogger(name).setLevel(logging.WARNING)
    # Its debug lines are whole handshakes of WebSockets, with their keys.
    logging.getLogger("uvicorn.error").setLevel(max(logging.INFO, root.level))


def _rendering(log_format: str) -> list[Any]:
    if log_format == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
