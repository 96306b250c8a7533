"""What is said of a restore that takes another checkpoint than the newest."""

from tierbroker.base.ids import TopicPartition, Uuid
from tierbroker.cli.restore_words import SHOWN_PARTITIONS, older_fields, older_text, refusal
from tierbroker.cold.archive import CheckpointFault, Latest
from tierbroker.cold.checkpoint_object import CheckpointSections
from tierbroker.cold.errors import ObjectDamagedError
from tierbroker.cold.head import CheckpointName, Head
from tierbroker.node.older_checkpoint import OlderCheckpointError, Since
from tierbroker.node.restoring import Restored

NOW_MS = 1_700_000_000_000
NEWEST = CheckpointName("c/i/checkpoints/9.ckpt", 10, 1, 90, 7, NOW_MS)
OLDER = CheckpointName("c/i/checkpoints/8.ckpt", 10, 1, 80, 6, NOW_MS - 300_000)
HEAD = Head("c", Uuid(b"s" * 16), Uuid(b"i" * 16), (NEWEST, OLDER))
FAULT = CheckpointFault(NEWEST, ObjectDamagedError(f"{NEWEST.key} is damaged"))
PLACE = TopicPartition("orders", 0)
SINCE = Since(
    objects=1,
    offsets=1200,
    ends={PLACE: 2000, TopicPartition("orders", 1): 5},
    unknown_topics={Uuid(b"t" * 16)},
    gone={PLACE: 1},
)


def refused(since: Since) -> str:
    nothing = memoryview(b"")
    sections = CheckpointSections(nothing, nothing, nothing)
    latest = Latest(HEAD, OLDER, sections, (FAULT,), "etag")
    return refusal(OlderCheckpointError("s3://b", latest, since))


def test_what_would_be_lost_and_how_to_agree() -> None:
    assert refused(SINCE).splitlines() == [
        "Nothing was restored: of cluster c checkpoint 7 of 2023-11-14T22:13:20Z cannot be read: "
        "c/i/checkpoints/9.ckpt is damaged.",
        "The newest one that can be read is 6 of 2023-11-14T22:08:20Z, 5 min older. By taking it "
        "you would lose:",
        "  - all changes since 2023-11-14T22:08:20Z: of topics, settings, and offsets that groups "
        "committed",
        "  - 1,200 offsets of 2 partitions that were uploaded since, and all of 1 topic made "
        "since; the store keeps their 1 object, unknown to the cluster",
        "  - 1 offset of orders-0 that it names, and that retention or the deletion of the topic "
        "has removed since: reads fail there until kafka-delete-records moves the log start",
        "If the bucket keeps versions, or has a replica, put the newest one back and restore "
        "again: nothing of that is lost then.",
        "To take the older one all the same, add: --checkpoint 6",
    ]


def test_nothing_uploaded_and_not_known_are_two_things() -> None:
    assert "no record: nothing was uploaded since" in refused(Since())
    assert "how many is not known" in refused(Since(listed=False))


def test_of_many_partitions_some_are_shown() -> None:
    many = {TopicPartition("orders", number): 2 for number in range(SHOWN_PARTITIONS + 3)}
    told = refused(Since(gone=many))
    assert told.count("of orders-") == SHOWN_PARTITIONS
    assert "  - 6 offsets more of that kind, of 3 partitions\n" in told


def test_what_was_lost_is_in_the_report() -> None:
    restored = Restored(HEAD, OLDER, (), 0, 0, (FAULT,), SINCE)
    text = older_text(restored)
    assert "not the newest checkpoint, as was agreed to: checkpoint 7 of" in text
    assert "Taken was 6 of 2023-11-14T22:08:20Z, 5 min older." in text
    assert older_fields(restored) == {
        "unread": [
            {
                "checkpoint": 7,
                "checkpoint_taken_ms": NOW_MS,
                "key": NEWEST.key,
                "reason": "c/i/checkpoints/9.ckpt is damaged",
            }
        ],
        "listed": True,
        "uploaded_since": {"objects": 1, "offsets": 1200, "topics_made_since": 1},
        "gone_since": [{"topic": "orders", "partition": 0, "offsets": 1}],
    }


def test_of_the_newest_checkpoint_nothing_is_said() -> None:
    restored = Restored(HEAD, NEWEST, (), 0, 0)
    assert (older_text(restored), older_fields(restored)) == ("", None)
