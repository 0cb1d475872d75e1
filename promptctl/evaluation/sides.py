"""One side of a run: what is sent for each case, and the replies to it."""

from __future__ import annotations

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
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from promptctl.evaluation.results import Reply, Subject
    from promptctl.rules.test_cases import Case


class Side:
    """A text with settings, and its replies to cases.

    `request_hashes` has a hash for each case, None for a case that the text cannot be called with. `replies` has the
    replies by request hash, oldest first: cases with the same input share them. `fresh_models` are the models that
    Claude returned in this run.
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
        self.replies: dict[str, list[Reply]] = {}
        self.fresh_models: set[str] = set()

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
        return self.replies.get(request_hash, ()) if request_hash is not None else ()

    def add(self, replies: Iterable[Reply]) -> None:
        """Add replies that were kept, but for those in batches to a case whose assertions need their time."""
        for reply in replies:
            if reply.response_ms is None and reply.request_hash in self._timed:
                continue
            self.replies.setdefault(reply.request_hash, []).append(reply)

    def add_fresh(self, reply: Reply) -> None:
        """Add a reply of this run."""
        self.fresh_models.add(reply.model)
        self.add([reply])

    def missing_calls(self, cases: Sequence[Case], repeats: Mapping[int, int]) -> list[Call]:
        """Return the calls that are missing for so many replies to each case, by its index.

        The calls of a case do not follow each other, so that calls that end early leave some replies to each case.
        """
        missing: dict[str, tuple[int, Case]] = {}
        for index, count in repeats.items():
            request_hash = self.request_hashes[index]
            if request_hash is not None:
                number = count - len(self.replies.get(request_hash, ()))
                if number > missing.get(request_hash, (0, None))[0]:
                    missing[request_hash] = number, cases[index]
        most = max((number for number, _ in missing.values()), default=0)
        return [
            self.call(case, request_hash)
            for turn in range(most)
            for request_hash, (number, case) in missing.items()
            if turn < number
        ]

    def drop_other_models(self, models: set[str]) -> int:
        """Drop the replies of other models than these, and return how many there were."""
        dropped = 0
        for request_hash, replies in self.replies.items():
            kept = [reply for reply in replies if reply.model in models]
            dropped += len(replies) - len(kept)
            self.replies[request_hash] = kept
        return dropped

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
