"""A stand-in for the services that AI programs talk to: the OpenAI Responses API and the Anthropic Messages API.

    model_service.py ADDRESS PORT DIRECTORY

Answers are streamed as server-sent events and follow from the prompt alone, so that two runs of a program show the
same: its length and digest; `list N` also gets N lines; a prompt with `slowly` gets the first half of its answer, and
the rest once DIRECTORY/go is there. Each prompt is noted in DIRECTORY/prompts as a line of JSON. Prints `ready`.
Runs alone: imports nothing of the tests.
"""

import hashlib
import http.server
import json
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

PASTED = re.compile(r"\A\s*<pasted_content [^>]*>\n(.*)\n</pasted_content [^>]*>\s*\Z", re.DOTALL)
"""How Claude Code sends what was pasted."""


def prompt_of(request: dict[str, Any]) -> str:
    """The last text that the user wrote; what programs add for the model begins with a tag."""
    texts = []
    for message in request.get("input") or request.get("messages") or ():
        if isinstance(message, dict) and message.get("role") == "user":
            content = message.get("content")
            parts = [{"text": content}] if isinstance(content, str) else content or ()
            texts += [str(part["text"]) for part in parts if "text" in part]
    texts = [PASTED.sub(r"\1", text) for text in texts]
    return next((text for text in reversed(texts) if not text.lstrip().startswith("<")), "")


def answer_to(prompt: str) -> str:
    """What the model says."""
    digest = hashlib.sha256(prompt.encode()).hexdigest()[:12]
    answer = f"I have read {len(prompt)} characters, {digest}, and that is all there is to say."
    lines = re.search(r"\blist ([0-9]+)", prompt)
    numbered = (f"{n}. the line of number {n}" for n in range(1, 1 + int(lines[1]))) if lines else ()
    return "\n".join([*numbered, "", answer]).strip()


class Handler(http.server.BaseHTTPRequestHandler):
    """Both interfaces, as far as the programs ask."""

    protocol_version = "HTTP/1.1"
    directory = ""

    def log_message(self, format: str, *args: object) -> None:
        """Into the directory: what the programs have asked."""
        with open(f"{self.directory}/asked", "a") as file:
            file.write(format % args + "\n")

    def do_HEAD(self) -> None:
        self._json({})

    def do_GET(self) -> None:
        self._json({"object": "list", "data": [], "models": []})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        path = self.path.partition("?")[0]
        if path.endswith("/count_tokens"):
            self._json({"input_tokens": 1})
        elif path.endswith("/responses"):
            self._stream(self._responses(request))
        elif path.endswith("/messages"):
            self._messages(request)
        else:
            self._json({})

    def _json(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _stream(self, events: Iterator[dict[str, Any]]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            for event in events:
                self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        except OSError:  # the program was interrupted, or is gone
            pass
        self.close_connection = True

    def _pieces(self, prompt: str) -> Iterator[str]:
        """The answer as it is streamed."""
        with open(f"{self.directory}/prompts", "a") as file:
            file.write(json.dumps(prompt) + "\n")
        words = re.findall(r"\s*\S+", answer_to(prompt))
        for number, word in enumerate(words):
            while (
                "slowly" in prompt and 2 * number >= len(words) and not os.path.exists(f"{self.directory}/go")
            ):
                time.sleep(0.02)
            yield word

    def _responses(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        name, text = "r1", ""
        item: dict[str, Any] = {
            "type": "message",
            "id": "m1",
            "role": "assistant",
            "status": "in_progress",
            "content": [],
        }
        yield {"type": "response.created", "response": {"id": name}}
        yield {"type": "response.output_item.added", "output_index": 0, "item": item}
        for piece in self._pieces(prompt_of(request)):
            text += piece
            yield {
                "type": "response.output_text.delta",
                "item_id": "m1",
                "output_index": 0,
                "content_index": 0,
                "delta": piece,
            }
        item |= {"status": "completed", "content": [{"type": "output_text", "text": text, "annotations": []}]}
        yield {"type": "response.output_item.done", "output_index": 0, "item": item}
        usage = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}
        yield {"type": "response.completed", "response": {"id": name, "status": "completed", "usage": usage}}

    def _messages(self, request: dict[str, Any]) -> None:
        usage = {"input_tokens": 100, "output_tokens": 20}
        message: dict[str, Any] = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": request.get("model"),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }
        if not request.get("stream"):
            text = answer_to(prompt_of(request))
            message |= {"content": [{"type": "text", "text": text}], "stop_reason": "end_turn"}
            self._json(message)
            return

        def events() -> Iterator[dict[str, Any]]:
            yield {"type": "message_start", "message": message}
            yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
            for piece in self._pieces(prompt_of(request)):
                delta = {"type": "text_delta", "text": piece}
                yield {"type": "content_block_delta", "index": 0, "delta": delta}
            yield {"type": "content_block_stop", "index": 0}
            end = {"stop_reason": "end_turn", "stop_sequence": None}
            yield {"type": "message_delta", "delta": end, "usage": usage}
            yield {"type": "message_stop"}

        self._stream(events())


def main() -> None:
    """Serve until killed."""
    address, port, Handler.directory = sys.argv[1:]
    server = http.server.ThreadingHTTPServer((address, int(port)), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
