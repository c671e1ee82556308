"""How log lines look: one line per event, as text for people or as JSON for machines."""

from __future__ import annotations

import logging
import time

import msgspec


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.123Z WARNING message`."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)-7s %(message)s", "%Y-%m-%dT%H:%M:%S")


class JsonFormatter(logging.Formatter):
    """One object per line: time, level, message, logger, and the traceback where there is one."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        moment = self.formatTime(record, "%Y-%m-%dT%H:%M:%S")
        entry = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "logger": record.name,
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(entry).decode()


def configure(level: str, style: str) -> None:
    """Everything of `level` and above goes to stderr; `style` is `text` or `json`."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in ("urllib3", "kubernetes", "watchdog"):
        logging.getLogger(chatty).setLevel(max(root.level, logging.WARNING))
