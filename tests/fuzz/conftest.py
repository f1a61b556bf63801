"""How long each property is tried: a few examples, the same ones, in `make test`; new ones in `make fuzz`."""

import time

import pytest
from hypothesis import is_hypothesis_test

from .strategies import MINUTES


def pytest_collection_modifyitems(session, items):
    """Shares the time among the properties."""
    session.config.fuzzed = sum("fuzz" in item.path.parts and is_hypothesis_test(item.obj) for item in items)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Goes on with new examples until a property's share of the time is over."""
    if not MINUTES or "fuzz" not in pyfuncitem.path.parts or not is_hypothesis_test(pyfuncitem.obj):
        return None
    end = time.monotonic() + 60 * MINUTES / pyfuncitem.config.fuzzed
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    while True:
        pyfuncitem.obj(**arguments)
        if time.monotonic() > end:
            return True
