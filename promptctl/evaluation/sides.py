"""One side of a run: what is sent for each case, and the replies to it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from promptctl.claude.settings import DEFAULT_MAX_TOKENS, DEFAULT_MODEL
from promptctl.evaluation.calls import Call
from promptctl.evaluation.checks import needs_time
from promptctl.rules.message_requests import RequestTemplate
from promptctl.rules.templates import MissingValues
from promptctl.rules.test_cases import case_problems
from promptctl.rules.test_replies import canonical_json, hash_of_request
from promptctl.store.test_runs import text_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from promptctl.evaluation.results import Reply, Subject
    from promptctl.evaluation.storage import Storage
    from promptctl.rules.test_cases import Case


class Side:
    """A text with settings, and its replies to cases.

    `request_hashes` has a hash for each case, None for a case that the text cannot be called with. `replies` has the
    replies by request hash, oldest first. Of k cases that send the same request, the first has the first reply and
    each k-th after it, and so on: a reply that counted for several cases would count several times as evidence.
    """

    def __init__(self, subject: Subject, cases: Sequence[Case], model: str | None, max_tokens: int | None) -> None:
        """Compose the requests of the cases. `model` and `max_tokens` replace those of the settings."""
        self.subject = subject
        self.model = model or str(subject.settings.get("model") or DEFAULT_MODEL)
        self._max_tokens = max_tokens or int(subject.settings.get("max_tokens") or DEFAULT_MAX_TOKENS)
        self._template = RequestTemplate(subject.content, subject.settings)
        self.text_hash = text_hash(subject.content)
        self.request_hashes = [self._hash(case) for case in cases]
        # The requests of cases that need the times of replies.
        self._timed = {one for one, case in zip(self.request_hashes, cases, strict=True) if needs_time(case)}
        self._sharing = Counter(one for one in self.request_hashes if one is not None)
        # The place of each case among those with the same request.
        self._places: list[int] = []
        earlier: Counter[str | None] = Counter()
        for request_hash in self.request_hashes:
            self._places.append(earlier[request_hash])
            earlier[request_hash] += 1
        self.replies: dict[str, list[Reply]] = {}

    def problems(self, case: Case) -> list[str]:
        """Return why the text cannot be called with a case, as sentences without a subject."""
        few_shot = (self._template.request or {}).get("messages")
        return case_problems(
            case, self._template.accepted, self._template.required, has_few_shot_messages=bool(few_shot)
        )

    def keywords(self, case: Case) -> dict[str, Any]:
        """Return the keywords of `messages.create` for a case."""
        return self._template.keywords(case.values, case.messages, model=self.model, max_tokens=self._max_tokens)

    def system(self, case: Case) -> str:
        """Return the system prompt that Claude is sent for a case."""
        system: Any = self.keywords(case)["system"]
        return system if isinstance(system, str) else "".join(block["text"] for block in system)

    def call(self, case: Case, request_hash: str) -> Call:
        """Return a call for a case."""

        def compose() -> Mapping[str, Any]:
            return self.keywords(case)

        return Call(case.hash, request_hash, compose)

    def replies_of(self, index: int) -> Sequence[Reply]:
        """Return the replies to the case at an index, oldest first."""
        request_hash = self.request_hashes[index]
        if request_hash is None:
            return ()
        return self.replies.get(request_hash, ())[self._places[index] :: self._sharing[request_hash]]

    def sends(self, request_hash: str) -> bool:
        """Return whether a case sends the request with this hash."""
        return request_hash in self._sharing

    def add_kept(self, storage: Storage, most: int) -> None:
        """Add the latest `most` kept replies of each case."""
        for sharing in sorted(set(self._sharing.values())):
            hashes = sorted(one for one, number in self._sharing.items() if number == sharing)
            self.add(storage.kept_replies(hashes, most * sharing))

    def add(self, replies: Iterable[Reply]) -> None:
        """Add replies that were kept, but for those in batches to a case whose assertions need their time."""
        for reply in replies:
            if reply.response_ms is None and reply.request_hash in self._timed:
                continue
            self.replies.setdefault(reply.request_hash, []).append(reply)

    def sort(self, key: Callable[[Reply], tuple[int, str]]) -> None:
        """Sort the replies to each request."""
        for replies in self.replies.values():
            replies.sort(key=key)

    def missing(self, index: int, count: int) -> int:
        """Return how many calls are missing for `count` replies to the case at an index.

        Cases with the same request get replies by these calls too.
        """
        request_hash = self.request_hashes[index]
        if request_hash is None or not count:
            return 0
        needed = self._places[index] + 1 + (count - 1) * self._sharing[request_hash]
        return max(0, needed - len(self.replies.get(request_hash, ())))

    def missing_calls(self, cases: Sequence[Case], repeats: Mapping[int, int]) -> list[Call]:
        """Return the calls that are missing for so many replies to each case, by its index.

        The calls of a case do not follow each other, so that calls that end early leave some replies to each case.
        """
        missing: dict[str, tuple[int, Case]] = {}
        for index, count in repeats.items():
            request_hash, number = self.request_hashes[index], self.missing(index, count)
            if request_hash is not None and number > missing.get(request_hash, (0, None))[0]:
                missing[request_hash] = number, cases[index]
        calls: list[Call] = []
        turn = 0
        while len(calls) < sum(number for number, _ in missing.values()):
            for request_hash, (number, case) in missing.items():
                sharing = self._sharing[request_hash]
                calls += [self.call(case, request_hash)] * min(sharing, max(0, number - turn * sharing))
            turn += 1
        return calls

    def drop_other_models(self, model: str) -> list[str]:
        """Drop the replies of other models than this one, and return these models, sorted."""
        dropped = {reply.model for replies in self.replies.values() for reply in replies} - {model}
        for request_hash, replies in self.replies.items():
            self.replies[request_hash] = [reply for reply in replies if reply.model == model]
        return sorted(dropped)

    def _hash(self, case: Case) -> str | None:
        try:
            keywords = self.keywords(case)
        except MissingValues:
            return None
        return hash_of_request(keywords) if keywords["messages"] else None


def same_settings(first: Subject, second: Subject) -> bool:
    """Return whether two sides send the same: the same text with the same settings."""
    return first.content == second.content and canonical_json(dict(first.settings)) == canonical_json(
        dict(second.settings)
    )
