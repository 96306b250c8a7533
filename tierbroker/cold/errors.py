"""What can go wrong with an object store, sorted by what can be done about it."""


class StoreError(Exception):
    """An object store did not do what it was asked. The message names the store and the key."""


class ObjectNotFoundError(StoreError):
    """No object has the key (any more)."""


class PreconditionFailedError(StoreError):
    """A conditional write lost: the object exists already, or is not the one that was read."""


class StoreUnavailableError(StoreError):
    """The store is slow, down, throttling or unreachable: to be tried again later."""


class StoreRefusedError(StoreError):
    """The store says no, and will say so again: credentials, permissions, no such bucket, full."""


class ObjectDamagedError(StoreError):
    """What came is not what was stored: size, checksum or content is wrong."""


class StoreMismatchError(StoreError):
    """The store is not the one that this cluster's data is in. Message: both ids, next step."""


class UnfitStoreError(StoreMismatchError):
    """The store lacks what the cold tier cannot do without. Message: what, why, next step."""


class BodyUnreadableError(StoreError):
    """The local bytes that were to be stored cannot be read: the disk's fault, not the store's."""
