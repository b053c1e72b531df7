"""What an Executor's Python over there runs: a text for `python3 -c`, so nothing of pigeon has to be installed there.

It has to run in every Python from 3.8 on, and to get as far as its first answer in older ones. Frames in both
directions are eight bytes of length and a pickle. Only frames go through the standard input and output: what functions
print goes to stderr, and what they read is empty.
"""

from __future__ import annotations

TEXT = """\
import os, pickle, struct, sys, traceback

source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
os.dup2(2, 1)


def take():
    head = source.read(8)
    return source.read(struct.unpack("!Q", head)[0]) if len(head) == 8 else None


def give(data):
    sink.write(struct.pack("!Q", len(data)))
    sink.write(data)
    sink.flush()


def call(data):
    by_value, task = pickle.loads(data)
    function, arguments, keywords = pickle.loads(task)
    value = function(*arguments, **keywords)
    if by_value:
        import cloudpickle

        return cloudpickle.dumps((True, value), 5)
    return pickle.dumps((True, value), 5)


def failed(error, text):
    try:
        kept = pickle.dumps(error, 5)
        pickle.loads(kept)  # some can be taken apart and not made again
    except Exception:
        kept = None
    return pickle.dumps((False, (kept, "%s: %s" % (type(error).__name__, error), text)), 5)


first = take()
if first is not None:
    sys.path.extend(place for place in pickle.loads(first) if place not in sys.path)
    try:
        from importlib.util import find_spec

        has_cloudpickle = find_spec("cloudpickle") is not None
    except ImportError:
        has_cloudpickle = False
    give(pickle.dumps((tuple(sys.version_info[:2]), sys.implementation.name, has_cloudpickle), 2))
    data = take()
    while data is not None:
        try:
            answer = call(data)
        except BaseException as error:
            answer = failed(error, traceback.format_exc())
        del data
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:
                pass
        give(answer)
        del answer
        data = take()
"""
