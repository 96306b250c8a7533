"""What can be wrong with the tier's part of the metadata log."""


class CorruptTierEventError(Exception):
    """The bytes are no event of the tier; the message says why."""


class UnknownTierEventError(CorruptTierEventError):
    """An event of a kind or version that this release does not know."""


class TierContradictionError(Exception):
    """An event that cannot follow what happened before; the message names both."""
