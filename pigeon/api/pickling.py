"""How functions and their arguments travel: by reference, or by value where that is safe.

By reference a function is its module's name and its own, which any Python understands that has the module. By value it
is its code, and code of one minor version crashes another: that is refused before anything is sent.
"""

from __future__ import annotations

import io
import pickle
import sys
import types
from typing import Any, NamedTuple

PROTOCOL = 5
"""Of Python 3.8 and later."""


class FarPython(NamedTuple):
    """The Python over there."""

    version: tuple[int, int]
    implementation: str
    has_cloudpickle: bool


class Task(NamedTuple):
    """A call, ready to be sent. `data` is a pickle of (function, arguments, keywords)."""

    data: bytes
    by_value: bool


class _OnlyHereError(Exception):
    """Something that another process would not find under its name."""


class _ByReference(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, types.FunctionType | type) and obj.__module__ == "__main__":
            raise _OnlyHereError(obj.__qualname__)
        return NotImplemented


def pack(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Task | str:
    """The call by reference; or, if it cannot be, the name or the reason of what stands in the way.

    Raises what the arguments' own pickling raises, for what no pickle takes.
    """
    buffer = io.BytesIO()
    try:
        _ByReference(buffer, PROTOCOL).dump((function, args, kwargs))
    except _OnlyHereError as error:
        return str(error)
    except (pickle.PicklingError, AttributeError) as error:
        return str(error)
    return Task(buffer.getvalue(), by_value=False)


def pack_by_value(
    function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], why: str, far: FarPython
) -> Task:
    """The call with the code of what only this process has.

    Raises:
        TypeError: it cannot travel so; says why and what to do.
    """
    check_by_value(why, far)
    import cloudpickle

    try:
        return Task(cloudpickle.dumps((function, args, kwargs), PROTOCOL), by_value=True)
    except (pickle.PicklingError, AttributeError) as error:
        raise TypeError(f"{error}; pass something that can be pickled, such as a file's name") from error


def check_by_value(why: str, far: FarPython) -> None:
    """Raises TypeError, as `pack_by_value` does, if code must not travel to that Python."""
    own = FarPython(sys.version_info[:2], sys.implementation.name, _has_cloudpickle())
    if own[:2] != far[:2]:
        reason = f"Python {_name(far)} over there cannot run the code of {_name(own)}"
    elif not own.has_cloudpickle or not far.has_cloudpickle:
        where = "here" if not own.has_cloudpickle else "over there"
        reason = f"the package cloudpickle, which sends code, is not installed {where}"
    else:
        return
    raise refusal(why, reason)


def refusal(why: str, reason: str) -> TypeError:
    """The error for a call that would have to travel by value, with the way out."""
    return TypeError(
        f"`{why}` is known in this process only and cannot be sent by value: {reason}; "
        "move it into a module that both sides can import"
    )


def _name(python: FarPython) -> str:
    kind = "" if python.implementation == "cpython" else f" ({python.implementation})"
    return f"{python.version[0]}.{python.version[1]}{kind}"


def _has_cloudpickle() -> bool:
    from importlib.util import find_spec

    return find_spec("cloudpickle") is not None
