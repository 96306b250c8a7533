"""The codecs of every Kafka API, one generated module each, loaded only when asked for."""

from importlib import import_module
from types import ModuleType

from tierbroker.wire.messages.index import APIS

_loaded: dict[int, ModuleType] = {}


def load(api_key: int) -> ModuleType:
    """The module of one API; KeyError for a key that Kafka 4.3 does not have."""
    module = _loaded.get(api_key)
    if module is None:
        module = import_module(f"{__name__}.{APIS[api_key].module}")
        _loaded[api_key] = module
    return module
