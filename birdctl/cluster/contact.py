"""Whether an API server can be reached, as all watches of it together see it: said once when lost, once when back."""

from __future__ import annotations

import logging
import threading

from birdctl.errors import ApiRefused

log = logging.getLogger(__name__)


class Contact:
    """Errors by what is watched. Used from many threads."""

    def __init__(self) -> None:
        self._errors: dict[str, str] = {}
        self._lock = threading.Lock()

    @property
    def error(self) -> str:
        """Why something is not watched now; empty when everything is."""
        with self._lock:
            return next(iter(self._errors.values()), "")

    def lost(self, watched: str, error: Exception) -> None:
        with self._lock:
            if not self._errors or (isinstance(error, ApiRefused) and watched not in self._errors):
                log.warning("watching %s: %s; everything stays as it is", watched, error)
            self._errors[watched] = str(error)

    def regained(self, watched: str) -> None:
        with self._lock:
            if self._errors.pop(watched, "") and not self._errors:
                log.info("watching everything again")

    def forget(self, watched: str) -> None:
        """It is no longer to be watched."""
        with self._lock:
            self._errors.pop(watched, None)
