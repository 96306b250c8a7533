"""Numbers and names of the states are Kafka's."""

from tierbroker.transactions.state import STATES_BY_LABEL, TransactionState

KAFKA = {
    0: "Empty",
    1: "Ongoing",
    2: "PrepareCommit",
    3: "PrepareAbort",
    4: "CompleteCommit",
    5: "CompleteAbort",
    6: "Dead",
    7: "PrepareEpochFence",
}


def test_numbers_and_names() -> None:
    assert {state.value: state.label for state in TransactionState} == KAFKA
    assert {label: state.value for label, state in STATES_BY_LABEL.items()} == {
        label: number for number, label in KAFKA.items()
    }


def test_what_may_expire_and_what_is_decided() -> None:
    assert [state.label for state in TransactionState if state.is_quiet] == [
        "Empty",
        "CompleteCommit",
        "CompleteAbort",
    ]
    assert [state.label for state in TransactionState if state.is_decided] == [
        "PrepareCommit",
        "PrepareAbort",
    ]
