"""Campaigns that know nothing of each other but a place where each leaves what it found worth going on from.

The place is a folder (of a shared file system), or a Redis or Valkey server; both are databases of Hypothesis, whose
contents are sets of bytes under a key: nothing is there twice, and each may come and go.
A campaign that shares is no longer the same for the same seed.
"""

import time
import zlib
from pathlib import Path
from typing import Final

from chardev_conformance.fuzzing.errors import CampaignError
from chardev_conformance.fuzzing.plan import VERSION, Plan

SYNC_SECONDS: Final = 5.0
"""Time between two looks for what others have left."""

MOST_AT_ONCE: Final = 200
"""Traces that are taken at once, so that a campaign that joins late goes on with its own work meanwhile."""


class Shared:
    """A place where the campaigns against one target, held against one profile, leave their traces."""

    def __init__(self, place: str, plan: Plan) -> None:
        self._place = place
        self._key = f"chardev-fuzz:{VERSION}:{plan.profile}:{plan.target or ''}".encode()
        self._known: set[bytes] = set()
        self._looked = 0.0
        try:
            from hypothesis.database import (
                DirectoryBasedExampleDatabase,
                ExampleDatabase,
            )

            self._database: ExampleDatabase
            if "://" in place:
                from hypothesis.extra.redis import RedisExampleDatabase
                from redis import Redis, RedisError

                self._errors: tuple[type[Exception], ...] = (RedisError, OSError)
                server = Redis.from_url(place, socket_connect_timeout=5, socket_timeout=10)
                server.ping()
                self._database = RedisExampleDatabase(server, key_prefix=b"")
            else:
                self._errors = (OSError,)
                Path(place).mkdir(parents=True, exist_ok=True)
                self._database = DirectoryBasedExampleDatabase(Path(place))
        except ImportError as error:
            raise CampaignError(
                f"--share {place} needs {error.name}: pip install 'chardev[cluster]'"
            ) from None
        except ValueError as error:
            raise CampaignError(f"--share {place}: not a place to share at: {error}") from None
        except Exception as error:
            raise self._unreachable(error) from error

    def publish(self, trace: str) -> None:
        """Leave a trace for others."""
        data = zlib.compress(trace.encode())
        if data not in self._known:
            self._known.add(data)
            try:
                self._database.save(self._key, data)
            except self._errors as error:
                raise self._unreachable(error) from error

    def fetch(self) -> list[str]:
        """What others have left since it was looked for last; nothing if that was a moment ago."""
        now = time.monotonic()
        if now - self._looked < SYNC_SECONDS:
            return []
        self._looked = now
        try:
            new = sorted({*self._database.fetch(self._key)} - self._known)[:MOST_AT_ONCE]
        except self._errors as error:
            raise self._unreachable(error) from error
        self._known.update(new)
        return [zlib.decompress(data).decode() for data in new]

    def _unreachable(self, error: Exception) -> CampaignError:
        return CampaignError(
            f"--share {self._place}: cannot be reached: {error}; what the campaign keeps itself is not damaged: "
            "mend that, then go on with --resume"
        )
