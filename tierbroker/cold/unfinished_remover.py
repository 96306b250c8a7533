"""Removes what uploads left behind that never ended: parts in a bucket cost, and are no object.

An upload is told from one that is under way by its age, and from everybody else's by its key: it
lies below an incarnation of this cluster. Seldom, in the background, in nobody's way.
"""

import logging
from collections.abc import Sequence

from tierbroker.base.clock import Clock
from tierbroker.base.story import Stories, until
from tierbroker.cold.errors import StoreError, StoreRefusedError
from tierbroker.cold.keys import incarnation_prefix
from tierbroker.cold.ports import ObjectStore, TierLedger
from tierbroker.cold.probe_bucket import abort_rule
from tierbroker.cold.stores.unfinished import UnfinishedUpload, UnfinishedUploads

logger = logging.getLogger(__name__)

LOOKS = 4
"""In the time after which an upload counts as left."""


class UnfinishedRemover:
    """Of one cluster and its store. One removal at a time."""

    def __init__(
        self,
        store: ObjectStore,
        ledger: TierLedger,
        stories: Stories,
        *,
        cluster_id: str,
        older_than_ms: int,
        clock: Clock,
    ) -> None:
        """Uploads are left alone that were begun within the last `older_than_ms`."""
        self._stories = stories
        self._clock = clock
        self._next = 0.0
        self._uploads = store if isinstance(store, UnfinishedUploads) else None
        self._url = store.url
        self._ledger = ledger
        self._cluster_id = cluster_id
        self._older_than_ms = older_than_ms
        self._refused = False
        self.removed = 0

    def tick(self) -> None:
        """Look when it is time again; called about once a second."""
        now = self._clock.monotonic()
        if now >= self._next:
            self._next = now + self._older_than_ms / 1000 / LOOKS
            self._stories.begin(self.remove(), "removal of unfinished uploads")

    async def remove(self) -> None:
        """Look once and remove what is found; a store that fails is asked again the next time."""
        if self._uploads is None:
            return
        try:
            found = self._own(await until(self._uploads.unfinished(self._older_than_ms)))
            if found:
                await until(self._uploads.remove_unfinished(found))
        except StoreRefusedError as error:
            self._tell_once(error)
            return
        except StoreError as error:
            logger.info("%s: no look at unfinished uploads: %s", self._url, error)
            return
        self.removed += len(found)
        if found:
            logger.info("%s: %d unfinished uploads are removed", self._url, len(found))

    def _own(self, found: Sequence[UnfinishedUpload]) -> list[UnfinishedUpload]:
        """Those of this cluster, under whichever incarnation. Files of a directory have no key."""
        own = tuple(
            incarnation_prefix(self._cluster_id, incarnation)
            for incarnation in self._ledger.state.incarnations
        )
        return [left for left in found if not left.upload_id or left.key.startswith(own)]

    def _tell_once(self, error: StoreRefusedError) -> None:
        if self._refused:
            return
        self._refused = True
        logger.warning(
            "%s does not let the broker remove unfinished uploads, and they cost: %s. Set the "
            "lifecycle rule %s",
            self._url,
            error,
            abort_rule(f"{self._prefix()}{self._cluster_id}/"),
        )

    def _prefix(self) -> str:
        _, _, prefix = self._url.partition("://")[2].partition("/")
        return f"{prefix}/" if prefix else ""
