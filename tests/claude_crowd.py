"""What the server of `claude_api` answers in the scenario `crowd`: many calls, a rate limit, batches and a judge.

Parameters in the URL:

- `rate` and `burst`: calls a second that the rate limit admits, and calls at once. Without `rate` there is no limit.
- `reject_every`: of so many calls one is rejected, by turns with 529 and with 429.
- `pass_every`: of so many replies to the same text each but one holds the word `good`; 0 for all of them.
- `alias`: the model that is returned for every call. Two with a comma are returned by turns, or with `moves_after` the
  second one after so many calls.
- `judge_alias`: the model that is returned for a call of a judge, if it is another one.
- `stop`: the stop reason of every reply.
- `judge`: `well` (a reply passes if it holds the last word of the rubric), `badly` (each second answer is wrong),
  `nonsense`.
- `missing_models`: names of models that do not exist, with commas.
- `reject_text`: a call that has this text is rejected as invalid.
- `rejected_batches`: how many attempts to create a batch are rejected with 429, from the first one on.
- `polls`: how often a batch is in progress before it ends.
- `errored`, `expired`, `canceled`, `paused`: the number of requests of batches that end so, from the first one on.
- `results`: `twice` (each line), `short` (the first answer lacks two lines, and its last line is cut), `odd`
  (a part of the replies and of the errors has another form, and so have the counts), `moved` (a redirect to another
  host).
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from tests import claude_replies as scenarios

if TYPE_CHECKING:
    from collections.abc import Mapping

_DAY = "2026-11-30T00:00:00Z"


class Crowd:
    """The state of one URL."""

    def __init__(self, given: scenarios.Parameters) -> None:
        self.given = given
        self._rate = given.number("rate", 0)
        self._burst = given.number("burst", 5)
        self._tokens = float(self._burst)
        self._filled_at: float | None = None
        self._attempts = 0
        self._replies = 0
        self._by_text: Counter[str] = Counter()
        self.creations = 0
        # How the first requests of batches end.
        self.kinds = [
            kind for kind in ("errored", "expired", "canceled", "paused") for _ in range(given.number(kind, 0))
        ]

    def admit(self, now: float) -> tuple[int, float | None]:
        """Return the status for a call at a time in seconds, and the `retry-after` of a rejection by the rate limit."""
        self._attempts += 1
        if self._filled_at is not None:
            self._tokens = min(self._burst, self._tokens + max(0.0, now - self._filled_at) * self._rate)
        self._filled_at = now if self._filled_at is None else max(now, self._filled_at)
        wait = max(0.0, (1 - self._tokens) / self._rate) if self._rate else 0.0
        every = self.given.number("reject_every", 0)
        if every and self._attempts % every == 0:
            return (529, None) if self._attempts // every % 2 else (429, wait)
        if wait:
            return 429, wait
        self._tokens -= bool(self._rate)
        return 200, None

    def count(self) -> int:
        """Count a reply, and return its number."""
        self._replies += 1
        return self._replies

    def message(self, body: Mapping[str, Any], number: int) -> dict[str, Any]:
        """Return the reply to a call, with its usage."""
        is_judge = "format" in body.get("output_config", {})
        text = self._judgement(body) if is_judge else self._reply(body)
        moves_after = self.given.number("moves_after", 0)
        aliases = ((self.given.text("judge_alias") if is_judge else "") or self.given.text("alias")).split(",")
        place = int(number > moves_after) if moves_after else number % len(aliases)
        return {
            "id": f"msg_{number:06}",
            "type": "message",
            "role": "assistant",
            "model": aliases[place % len(aliases)] or body["model"],
            "content": [{"type": "text", "text": text}] if text else [],
            "stop_reason": "end_turn" if is_judge else self.given.text("stop", "end_turn"),
            "stop_sequence": None,
            "usage": {
                "input_tokens": scenarios.input_tokens(body),
                "output_tokens": len(text.split()),
                "cache_read_input_tokens": 0,
                "cache_creation_input_tokens": 0,
            },
        }

    def _reply(self, body: Mapping[str, Any]) -> str:
        system = json.dumps(body.get("system"))
        asked = json.dumps(body["messages"][-1]["content"])
        key = system + asked
        self._by_text[key] += 1
        every = self.given.number("pass_every", 0)
        is_good = "broken" not in system and not (every and self._by_text[key] % every == 0)
        return f"A {'good' if is_good else 'poor'} reply to {asked[:60]}"

    def _judgement(self, body: Mapping[str, Any]) -> str:
        document = json.loads(body["messages"][-1]["content"])
        key = body["messages"][-1]["content"]
        self._by_text[key] += 1
        way = self.given.text("judge", "well")
        if way == "nonsense":
            return "It is hard to say."
        passes = document["rubric"].split()[-1] in document["reply"]
        if way == "badly" and self._by_text[key] % 2:
            passes = not passes
        return json.dumps({"reason": "The word is looked for.", "pass": passes, "score": float(passes)})


class Batch:
    """One batch of messages."""

    def __init__(self, batch_id: str, requests: list[dict[str, Any]], crowd: Crowd) -> None:
        self.id = batch_id
        self.requests = requests
        self.polls = crowd.given.number("polls", 1)
        self.is_canceled = False
        self.usages: list[dict[str, int]] = []
        self.way = crowd.given.text("results")
        self._crowd = crowd
        self._lines: list[str] | None = None

    @property
    def has_ended(self) -> bool:
        return self.polls <= 0 or self.is_canceled

    def cancel(self) -> None:
        self.is_canceled = True

    def document(self, results_url: str, *, is_poll: bool) -> dict[str, Any]:
        """Return the batch as the API describes it. A poll brings it nearer to its end."""
        self.polls -= is_poll
        counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
        if self.has_ended:
            counts |= Counter(json.loads(line)["result"]["type"] for line in self._results())
        else:
            counts["processing"] = len(self.requests)
        if self.way == "odd":
            counts |= {"processing": "x", "succeeded": None}
        return {
            "id": self.id,
            "type": "message_batch",
            "processing_status": "ended" if self.has_ended else "in_progress",
            "request_counts": counts,
            "created_at": _DAY,
            "expires_at": _DAY,
            "ended_at": _DAY if self.has_ended else None,
            "archived_at": None,
            "cancel_initiated_at": None,
            "results_url": results_url if self.has_ended else None,
        }

    def results(self) -> str:
        """Return a line of JSON for each request, in another order than that of the requests."""
        lines = list(reversed(self._results()))
        if self.way == "odd":
            lines = [json.dumps(_odd(json.loads(line), place)) for place, line in enumerate(lines)]
        if self.way == "twice":
            lines *= 2
        if self.way == "short":
            self.way = ""
            unknown = json.dumps({"custom_id": "unknown", "result": {"type": "expired"}})
            return "".join(f"{line}\n" for line in ["7", unknown, *lines[2:]])[:-20]
        return "".join(f"{line}\n" for line in lines)

    def _results(self) -> list[str]:
        if self._lines is None:
            kinds = self._kinds()
            self._lines = [
                json.dumps({"custom_id": request["custom_id"], "result": self._result(request["params"], kind)})
                for request, kind in zip(self.requests, kinds, strict=True)
            ]
        return self._lines

    def _kinds(self) -> list[str]:
        if self.is_canceled:
            return ["canceled"] * len(self.requests)
        kinds, count = self._crowd.kinds, len(self.requests)
        self._crowd.kinds = kinds[count:]
        return (kinds + ["succeeded"] * count)[:count]

    def _result(self, params: Mapping[str, Any], kind: str) -> dict[str, Any]:
        if kind == "errored":
            error = {"type": self._crowd.given.text("error", "api_error"), "message": "it failed"}
            return {"type": kind, "error": {"type": "error", "error": error, "request_id": None}}
        if kind != "succeeded":
            return {"type": kind}
        message = self._crowd.message(params, self._crowd.count())
        self.usages.append(message["usage"])
        return {"type": kind, "message": message}


def _odd(line: dict[str, Any], place: int) -> dict[str, Any]:
    """Return the result of a request in another form than that of Claude, by its place; every seventh as it is."""
    ways: list[dict[str, Any]] = [
        {"message": line["result"].get("message", {}) | {"content": content}}
        for content in ([5], "abc", [{"type": "text", "text": 7}])
    ]
    ways += [{"message": "abc"}, {"type": "errored", "error": "x"}, {"type": 5}, {}]
    return line | {"result": line["result"] | ways[place % len(ways)]}
