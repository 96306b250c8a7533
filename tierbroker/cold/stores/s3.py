"""A store in a bucket of S3, or of anything that speaks like it.

Large objects travel in parts that are read when they are due, small ones whole. What the store
keeps is checked against what was read: size and the CRC-64/NVME of the whole object. A write
whose answer got lost is looked for before it is judged.
"""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, TypeVar

import obstore

from tierbroker.base.fs import Buffer
from tierbroker.base.parts import Part
from tierbroker.base.pending import Pending
from tierbroker.base.story import Story, sleep, tell, until
from tierbroker.cold.config import MOST_PARTS, S3Settings, TransferLimits
from tierbroker.cold.errors import (
    BodyUnreadableError,
    ObjectDamagedError,
    ObjectNotFoundError,
    PreconditionFailedError,
    StoreError,
    StoreUnavailableError,
)
from tierbroker.cold.keys import CHECKPOINT_SUFFIX, MANIFEST_SUFFIX, SEGMENT_SUFFIX
from tierbroker.cold.ports import ObjectFacts, ObjectPage
from tierbroker.cold.stores import StorePorts
from tierbroker.cold.stores.body import Body, BodyWithdrawnError
from tierbroker.cold.stores.byte_budget import ByteBudget
from tierbroker.cold.stores.request_counts import RequestCounts
from tierbroker.cold.stores.s3_client import S3Clients, when_answered
from tierbroker.cold.stores.s3_credentials import S3Credentials
from tierbroker.cold.stores.s3_requests import (
    LeftUpload,
    S3Answer,
    S3Requests,
    abort_upload,
    left_uploads,
    parse_time_ms,
)
from tierbroker.cold.stores.sent import Sent
from tierbroker.cold.stores.unfinished import UnderWay, UnfinishedUpload
from tierbroker.cold.stores.work import begin

T = TypeVar("T")

logger = logging.getLogger(__name__)

PAGE_OBJECTS = 1000
PARTS_AT_A_TIME = 2
ONCE_SUFFIXES = (SEGMENT_SUFFIX, MANIFEST_SUFFIX, CHECKPOINT_SUFFIX)
"""Of keys under which no other bytes are ever written."""
PAUSES_S = (0.1, 0.4, 1.6)
"""Before each further attempt of what the library does not try again by itself."""


class S3Store:
    """Objects below a prefix of a bucket. Needs a running asyncio loop; its thread alone."""

    def __init__(
        self,
        settings: S3Settings,
        limits: TransferLimits,
        ports: StorePorts,
        *,
        page_objects: int = PAGE_OBJECTS,
    ) -> None:
        self.url = settings.url
        self.counts = RequestCounts()
        self.budget = ByteBudget(limits.inflight_max_bytes)
        self.settings = settings
        self._limits = limits
        self._executor = ports.executor
        self._fs = ports.fs
        self._clock = ports.clock
        self._scheduler = ports.scheduler
        self._page_objects = page_objects
        self._prefix = f"{settings.prefix}/" if settings.prefix else ""
        credentials = S3Credentials(settings, ports.clock)
        self._clients = S3Clients(settings, limits, credentials)
        self._requests = S3Requests(settings, credentials, ports.clock, self._clients.timeout_s(0))
        self._uploads: set[Body] = set()
        self._in_parts = UnderWay()
        self._under_way: set[Any] = set()
        """What the library is at: futures of its."""

    # -- the port ------------------------------------------------------------------------------

    def put(
        self,
        key: str,
        body: Sequence[Part],
        *,
        if_absent: bool = False,
        if_match: str | None = None,
    ) -> Pending[ObjectFacts]:
        """See ObjectStore. With a condition the object goes in one request, whole in memory."""
        source = Body(self._fs, body)
        if if_absent or if_match is not None:
            mode: Any = "create" if if_absent else {"e_tag": if_match}
            story = self._put_if(key, source, mode)
        else:
            story = self._put(key, source)
        # Withdrawn and not dropped: the library then gives up the parts that are uploaded.
        outcome: Pending[ObjectFacts] = Pending(source.withdraw)
        self._uploads.add(source)

        def done(told: Pending[ObjectFacts]) -> None:
            self._uploads.discard(source)
            if told.error is not None:
                outcome.fail(told.error)
            else:
                outcome.resolve(told.result())

        self._counted(story).on_done(done)
        return outcome

    def get_range(self, key: str, start: int, length: int) -> Pending[bytes | memoryview]:
        """See ObjectStore."""
        return self._counted(self._get_range(key, start, length))

    def head(self, key: str) -> Pending[ObjectFacts]:
        """See ObjectStore."""
        return self._counted(self._head(key))

    def delete(self, key: str) -> Pending[None]:
        """See ObjectStore."""
        return self._counted(self._delete(key))

    def list(self, prefix: str, after: str | None = None) -> Pending[ObjectPage]:
        """See ObjectStore."""
        return self._counted(self._list(prefix, after))

    def close(self) -> None:
        """See ObjectStore. Uploads that are under way are given up.

        An answer that came later would have no loop to come to.
        """
        for source in self._uploads:
            source.withdraw()
        for future in list(self._under_way):
            future.cancel()
        self._requests.close()

    def parts_settled(self) -> Pending[None]:
        """See UploadsInParts."""
        return self._in_parts.settled()

    def ask(self, question: Callable[[S3Requests], T]) -> Pending[T]:
        """What the port does not know of: `question` runs on a worker thread."""
        return begin(self._executor, lambda: question(self._requests))

    def full_key(self, key: str) -> str:
        """The key in the bucket, prefix included."""
        return self._prefix + key

    def unfinished(self, older_than_ms: int) -> Pending[Sequence[UnfinishedUpload]]:
        """See UnfinishedUploads."""

        def work() -> Sequence[UnfinishedUpload]:
            before_ms = self._clock.now_ms() - older_than_ms
            return [
                self._named(left)
                for left in left_uploads(self._requests, self._prefix)
                if left.begun_ms < before_ms
            ]

        return begin(self._executor, work)

    def _named(self, left: LeftUpload) -> UnfinishedUpload:
        return UnfinishedUpload(left.path.removeprefix(self._prefix), left.upload_id, left.begun_ms)

    def remove_unfinished(self, uploads: Sequence[UnfinishedUpload]) -> Pending[None]:
        """See UnfinishedUploads."""

        def work() -> None:
            for upload in uploads:
                path = self._prefix + upload.key
                abort_upload(self._requests, LeftUpload(path, upload.upload_id, upload.begun_ms))

        return begin(self._executor, work)

    # -- uploads -------------------------------------------------------------------------------

    async def _put(self, key: str, source: Body) -> ObjectFacts:
        sent = Sent(source)
        try:
            if source.size_bytes > self._limits.multipart_threshold_bytes:
                etag = await self._send_parts(key, sent)
            else:
                etag = await self._send_whole(key, sent)
        except StoreUnavailableError as error:
            facts = await self._stored_nevertheless(key, sent, error)
            return facts._replace(checksum=sent.checksum)
        stored = await self._head(key)
        # Overwritten already, that may be another story; never under a key that is used once.
        if stored.etag == etag or key.endswith(ONCE_SUFFIXES):
            self._compare(key, stored, sent)
        return ObjectFacts(key, source.size_bytes, etag, sent.checksum, stored.modified_ms)

    async def _send_whole(self, key: str, sent: Sent) -> str:
        size = sent.source.size_bytes
        reservation = await until(self.budget.for_upload(size))
        try:
            content = await until(begin(self._executor, lambda: sent.next_piece(size)))
            return await self._put_content(key, content, None)
        finally:
            reservation.release()

    async def _put_content(self, key: str, content: Buffer, mode: Any) -> str:
        client = self._clients.carrying(len(content), retries=mode is None)
        self.counts.puts += 1
        result = await self._answer(
            key,
            partial(
                obstore.put_async,
                client,
                self._prefix + key,
                content,
                mode=mode,
                use_multipart=False,
                attributes=self._attributes(key),
            ),
        )
        self.counts.bytes_up += len(content)
        return str(result["e_tag"] or "")

    async def _send_parts(self, key: str, sent: Sent) -> str:
        size = sent.source.size_bytes
        part_bytes = max(self._limits.part_bytes, -(-size // MOST_PARTS))
        # Twice as many parts are in memory as travel, and the one that is being read.
        reservation = await until(self.budget.for_upload((2 * PARTS_AT_A_TIME + 1) * part_bytes))
        if sent.source.withdrawn:
            reservation.release()
            raise BodyWithdrawnError("withdrawn while it waited")
        self._in_parts.begin()
        try:
            result = await self._answer(
                key,
                partial(
                    obstore.put_async,
                    self._clients.carrying(part_bytes),
                    self._prefix + key,
                    self._pieces(sent, part_bytes),
                    use_multipart=True,
                    chunk_size=part_bytes,
                    max_concurrency=PARTS_AT_A_TIME,
                    attributes=self._attributes(key),
                ),
            )
        except BodyUnreadableError:
            await self._drop_parts(key)
            raise
        finally:
            reservation.release()
            self._in_parts.end()
        self.counts.puts += 2 + -(-size // part_bytes)
        self.counts.bytes_up += size
        return str(result["e_tag"] or "")

    async def _drop_parts(self, key: str) -> None:
        """Look whether an upload that was given up left parts: one that arrives late does.

        What remains after all is found by its age.
        """
        path = self._prefix + key
        try:
            for pause_s in PAUSES_S:
                await until(sleep(self._scheduler, pause_s))
                left = await until(
                    begin(self._executor, lambda: list(left_uploads(self._requests, path)))
                )
                self.counts.lists += 1
                if not left:
                    return
                await until(self.remove_unfinished([self._named(upload) for upload in left]))
        except StoreError as error:
            logger.info("%s: parts of %s may be left: %s", self.url, key, error)

    async def _pieces(self, sent: Sent, part_bytes: int) -> AsyncIterator[Buffer]:
        """The library asks for the next part when it has room for it. Runs under asyncio."""
        while sent.position < sent.source.size_bytes:
            yield await begin(self._executor, lambda: sent.next_piece(part_bytes))

    async def _stored_nevertheless(
        self, key: str, sent: Sent, error: StoreUnavailableError
    ) -> ObjectFacts:
        """The object, if the store has done the work and its answer got lost; else the error."""
        if sent.position < sent.source.size_bytes:
            raise error
        try:
            stored = await self._head(key)
        except ObjectNotFoundError:
            raise error from None
        if stored.size_bytes != sent.position or stored.checksum != sent.checksum:
            raise error  # an older one; or nobody can say, and a second upload does no harm
        return stored

    def _compare(self, key: str, stored: ObjectFacts, sent: Sent) -> None:
        if stored.size_bytes != sent.position:
            raise ObjectDamagedError(
                f"{self.url}: {key} has {stored.size_bytes} bytes after {sent.position} were sent"
            )
        if stored.checksum is not None and stored.checksum != sent.checksum:
            raise ObjectDamagedError(
                f"{self.url}: {key} has the checksum {stored.checksum:016x}, and what was sent "
                f"{sent.checksum:016x}"
            )

    async def _put_if(self, key: str, source: Body, mode: Any) -> ObjectFacts:
        sent = Sent(source)
        size = source.size_bytes
        reservation = await until(self.budget.for_upload(size))
        try:
            content = await until(begin(self._executor, lambda: sent.next_piece(size)))
            etag = await self._win(key, content, mode)
        finally:
            reservation.release()
        return ObjectFacts(key, size, etag, sent.checksum, self._clock.now_ms())

    async def _win(self, key: str, content: Buffer, mode: Any) -> str:
        """The etag of the content under the key; an error when somebody else's is there.

        A refusal of the first attempt is final. After an attempt whose answer got lost it may be
        this content itself that is in the way.
        """
        for attempt in range(len(PAUSES_S) + 1):
            failure: StoreError
            try:
                return await self._put_content(key, content, mode)
            except (PreconditionFailedError, ObjectNotFoundError) as error:
                failure = PreconditionFailedError(str(error))
                if attempt == 0:
                    raise failure from error
            except StoreUnavailableError as error:
                failure = error
            etag = await self._etag_of(key, content)
            if etag is not None:
                return etag
            if isinstance(failure, PreconditionFailedError) or attempt == len(PAUSES_S):
                raise failure
            await until(sleep(self._scheduler, PAUSES_S[attempt]))
        raise AssertionError("the last attempt returns or raises")

    async def _etag_of(self, key: str, content: Buffer) -> str | None:
        """The etag of the object if it is made of these bytes.

        The store may still be about to do what was asked: content and etag are of one object
        when the etag is the same before and after the content was read.
        """
        try:
            for _ in PAUSES_S:
                stored = await self._head(key)
                if stored.size_bytes != len(content):
                    return None
                found = await self._get_range(key, 0, len(content)) if content else b""
                if (await self._head(key)).etag == stored.etag:
                    return stored.etag if found == content else None
        except (ObjectNotFoundError, ObjectDamagedError):
            return None
        return None

    def _attributes(self, key: str) -> Any:
        if self.settings.storage_class is None:
            return None
        if not key.endswith((SEGMENT_SUFFIX, MANIFEST_SUFFIX)):
            return None
        return {"Storage-Class": self.settings.storage_class}

    # -- everything else -----------------------------------------------------------------------

    async def _get_range(self, key: str, start: int, length: int) -> bytes | memoryview:
        if length == 0:
            return b""
        reservation = await until(self.budget.for_read(length))
        try:
            self.counts.gets += 1
            client = self._clients.carrying(length)
            path = self._prefix + key
            content = memoryview(
                await self._answer(
                    key,
                    partial(obstore.get_range_async, client, path, start=start, length=length),
                )
            )
        except ObjectDamagedError:
            content = memoryview(b"")  # it ends before the range begins
        finally:
            reservation.release()
        if len(content) < length:
            stored = await self._head(key)
            raise ObjectDamagedError(
                f"{self.url}: {key} has {stored.size_bytes} bytes, not the {start + length} "
                "expected"
            )
        self.counts.bytes_down += length
        return content

    async def _head(self, key: str) -> ObjectFacts:
        path = self._prefix + key
        self.counts.heads += 1
        try:
            answer = await self._asked("HEAD", path, None, {"x-amz-checksum-mode": "ENABLED"})
        except ObjectNotFoundError as absent:
            await self._make_sure(path)
            raise absent from None
        modified = answer.headers.get("last-modified")
        return ObjectFacts(
            key,
            int(answer.headers["content-length"]),
            answer.headers.get("etag", ""),
            answer.whole_checksum(),
            int(parsedate_to_datetime(modified).timestamp() * 1000) if modified else 0,
        )

    async def _make_sure(self, path: str) -> None:
        """Raise what else a 404 to HEAD may have meant; an answer with a body says so.

        Stores answer it for a bucket that is not there, versitygw for an unknown key id.
        """
        self.counts.gets += 1
        try:
            await self._asked("GET", path, None, {"range": "bytes=0-0"})
        except (ObjectNotFoundError, ObjectDamagedError):
            return  # not there; or it is by now, and empty

    async def _delete(self, key: str) -> None:
        self.counts.deletes += 1
        client = self._clients.carrying(0)
        try:
            await self._answer(key, partial(obstore.delete_async, client, self._prefix + key))
        except ObjectNotFoundError:
            return  # some stores say so, and S3 itself does not

    async def _list(self, prefix: str, after: str | None) -> ObjectPage:
        query = {
            "list-type": "2",
            "prefix": self._prefix + prefix,
            "max-keys": str(self._page_objects),
        }
        if after is not None:
            query["start-after"] = self._prefix + after
        answer = await self._asked("GET", "", query, None)
        self.counts.lists += 1
        tree = answer.tree()
        page = [
            ObjectFacts(
                (entry.findtext("Key") or "").removeprefix(self._prefix),
                int(entry.findtext("Size") or 0),
                entry.findtext("ETag") or "",
                None,
                parse_time_ms(entry.findtext("LastModified") or ""),
            )
            for entry in tree.iterfind("Contents")
        ]
        more = tree.findtext("IsTruncated") == "true" and bool(page)
        return ObjectPage(page, page[-1].key if more else None)

    async def _asked(
        self, method: str, path: str, query: dict[str, str] | None, headers: dict[str, str] | None
    ) -> S3Answer:
        """A request on a worker thread, again for as long as the store is only unavailable."""
        ask = partial(self._requests.ask, method, path, query, headers)
        for pause_s in PAUSES_S:
            try:
                return await until(begin(self._executor, ask))
            except StoreUnavailableError:
                await until(sleep(self._scheduler, pause_s))
        return await until(begin(self._executor, ask))

    async def _answer(self, key: str, ask: Any) -> Any:
        def begun() -> Any:
            future = ask()
            self._under_way.add(future)
            future.add_done_callback(self._under_way.discard)
            return future

        # A dropped upload would leave its parts in the store.
        cancellable = ask.func is not obstore.put_async
        return await until(when_answered(begun, self.url, key, cancellable=cancellable))

    def _counted(self, story: Story[T]) -> Pending[T]:
        told = tell(story)

        def done(_: object) -> None:
            expected = (ObjectNotFoundError, PreconditionFailedError)
            if told.error is not None and not isinstance(told.error, expected):
                self.counts.failures += 1

        told.on_done(done)
        return told
