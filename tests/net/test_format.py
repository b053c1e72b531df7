"""FORMAT.md, Part 3, says what the frames are; its table is compared with the code."""

from __future__ import annotations

import re
from pathlib import Path

from pigeon.net import frames
from pigeon.net.far import serve
from pigeon.wire import documents
from pigeon.worker.scheduler import retention

FORMAT = Path(documents.__file__).with_name("FORMAT.md").read_text(encoding="utf-8")


def test_the_table_of_frames() -> None:
    table = {int(number): name for number, name in re.findall(r"(?m)^\| (\d+) `([A-Z]+)` \|", FORMAT)}
    assert table == frames.NAMES


def test_what_the_text_says_of_sizes_times_and_the_verb() -> None:
    assert f"at most {frames.MAX_PAYLOAD_BYTES // 1024} KiB of payload" in FORMAT
    assert f"at most {frames.MAX_DATA_BYTES // 1024} KiB |" in FORMAT
    assert f"after {serve.LEAVING_S:.0f} s at the latest" in FORMAT
    assert f"removed {retention.NET_KEEP_S:.0f} s after" in FORMAT
    assert str(documents.NET_VERB).replace("'", '"') in FORMAT
    assert documents.NET_COMMAND[2] == f"exec pigeon {' '.join(documents.NET_VERB)}"
