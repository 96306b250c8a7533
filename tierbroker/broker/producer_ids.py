"""Producer ids: handed out one by one from blocks that the controller grants."""

from collections import deque
from collections.abc import Callable

from tierbroker.base.pending import Pending

BLOCK_SIZE = 1000


class ProducerIds:
    """The block in use and who waits for the next one. No id is given twice."""

    def __init__(self, request_block: Callable[[], Pending[range]]) -> None:
        self._request_block = request_block
        self._block = iter(range(0))
        self._waiting: deque[Pending[int]] = deque()

    def next(self) -> Pending[int]:
        """A producer id that nobody had before; fails with what the controller failed with."""
        answer: Pending[int] = Pending()
        producer_id = next(self._block, None)
        if producer_id is not None and not self._waiting:
            answer.resolve(producer_id)
            return answer
        self._waiting.append(answer)
        if len(self._waiting) == 1:
            self._request_block().on_done(self._on_block)
        return answer

    def _on_block(self, granted: Pending[range]) -> None:
        waiting, self._waiting = self._waiting, deque()
        if granted.error is not None:
            for answer in waiting:
                answer.fail(granted.error)
            return
        self._block = iter(granted.result())
        for answer in waiting:
            producer_id = next(self._block, None)
            if producer_id is not None:
                answer.resolve(producer_id)
            else:
                self._waiting.append(answer)
        if self._waiting:
            self._request_block().on_done(self._on_block)
