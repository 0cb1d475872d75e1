"""One call of a model with a prompt: timed, and booked on the version that was served."""

from __future__ import annotations

import operator
import time
from typing import TYPE_CHECKING, Any

from promptctl.client import fork_page, replies
from promptctl.rules.tokens import MOST_TOKENS
from promptctl.rules.use_ids import UseIds

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from promptctl.client.prompt import Prompt

MOST_SCORE = 10**9
_NOT_GIVEN: Any = object()
_now = time.perf_counter


# The ids of this process: a child process does not find them, and makes its own.
_page = fork_page.take()


def renew_ids() -> UseIds:
    """Begin a new series of ids, in a child process."""
    _page.process = ids = UseIds()
    return ids


def use_ids() -> UseIds:
    """Return the series of ids of this process."""
    try:
        return _page.process
    except AttributeError:
        return renew_ids()


class Use:
    """One call. As a block it takes the time and books what `record` was told; an exception is booked by its name.

    Without `record` the call is booked with its time alone.
    """

    # Defaults of the class: an application waits while an instance is made, and most are never set.
    outcome = "ok"
    usage: Any = None
    earlier_usages: tuple[Any, ...] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None
    model: str | None = None
    request_id: str | None = None
    ended = 0.0
    first_token_at: float | None = None
    score_given: float | None = None

    _id: str | None = None

    def __init__(self, prompt: Prompt) -> None:
        self.prompt = prompt
        # Not of the class: there it would take longer to look it up than to set it here.
        self.began = 0.0

    @property
    def id(self) -> str:
        """The use's id, under which it can be scored later."""
        made = self._id
        if made is None:
            # Mostly made when it is sent, by another thread. The first counts; without a lock, because a signal's
            # handler that waits for that thread may have interrupted this.
            made = self.__dict__.setdefault("_id", use_ids().new(self.began))
        return made

    def record(
        self,
        reply: object = _NOT_GIVEN,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        model: str | None = None,
    ) -> None:
        """Say what the call took: a reply, whose usage and model are read, or the numbers.

        A reply is one of Anthropic's SDK, or has the names of Bedrock, OpenAI, LiteLLM, LangChain or Pydantic AI; a
        mapping, such as `model_dump()` returns, will do. The tokens of several replies add up; the same counts once.
        `input_tokens` are all of the input, what came from a cache included. A number that is given counts for more
        than the replies'; what a reply says of itself and is none is left out.

        Raises TypeError for a reply without a readable usage, None too, where no number is given; TypeError, ValueError
        for a number that is no count of tokens; RuntimeError outside the block, where it might come too late.
        """
        if self.ended or not self.began:
            raise self._outside("record")
        # The usual kind first: an application waits for this.
        if type(input_tokens) is int and 0 <= input_tokens <= MOST_TOKENS:
            self.input_tokens = input_tokens
        elif input_tokens is not None:
            self.input_tokens = _checked_count("input_tokens", input_tokens)
        if type(output_tokens) is int and 0 <= output_tokens <= MOST_TOKENS:
            self.output_tokens = output_tokens
        elif output_tokens is not None:
            self.output_tokens = _checked_count("output_tokens", output_tokens)
        if reply is not _NOT_GIVEN:
            # The counts are read when they are sent; a reply's text is not held until then.
            usage: Any = None
            model_of_reply: Any = None
            of_any_kind: Any = reply
            try:
                usage = of_any_kind.usage
                model_of_reply = of_any_kind.model
                is_usual = type(usage.input_tokens) is int and usage.input_tokens >= 0
            except Exception:  # noqa: BLE001 - a reply may be of any kind
                is_usual = False
            if is_usual:
                self.model = model_of_reply
                self.request_id = getattr(reply, "_request_id", None)
            else:
                has_number = input_tokens is not None or output_tokens is not None
                usage = self._read(reply, has_number=has_number)
            if self.usage is None:
                self.usage = usage
            elif usage is not None and not any(usage is known for known in (self.usage, *self.earlier_usages)):
                self.earlier_usages = (*self.earlier_usages, self.usage)
                self.usage = usage
        if model is not None:
            self.model = model

    def _read(self, reply: object, *, has_number: bool) -> object:
        """Return the usage of a reply of another kind, and keep its model and request id. Raises TypeError."""
        try:
            usage, self.model, self.request_id = replies.read(reply)
        except TypeError:
            if not has_number:
                raise
            usage = None
            self.model, self.request_id = replies.names(reply)
        return usage

    def _outside(self, method: str) -> RuntimeError:
        where = "after its block, where it would not be sent" if self.ended else "before its block"
        return RuntimeError(f"{method}() of a use is called {where}: call it within `with prompt.use() as use:`")

    def first_token(self) -> None:
        """Say that the first text of the reply has come. Only the first call counts. Raises RuntimeError."""
        if self.ended or not self.began:
            raise self._outside("first_token")
        if self.first_token_at is None:
            self.first_token_at = _now()

    def failed(self, outcome: str) -> None:
        """Record the call as failed, by the name of what went wrong, without an exception. Raises RuntimeError."""
        if self.ended or not self.began:
            raise self._outside("failed")
        self.outcome = "failed" if outcome in ("", "ok") else outcome

    def score(self, score: float) -> None:
        """Rate the call, now or later: a number, at most a billion, of which higher is better. The last one counts.

        The application's own text is not rated. Raises ValueError.
        """
        checked = checked_score(score)
        if self.prompt.is_default:
            return
        if self.ended:
            self.prompt.link.score(self.id, checked)
        else:
            self.score_given = checked

    def __enter__(self) -> Self:
        if self.began:
            raise RuntimeError("a use is one call: begin another with prompt.use()")
        self.began = _now()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.ended = _now()
        if kind is not None and self.outcome == "ok":
            self.outcome = kind.__name__
        link = self.prompt.link
        try:
            limit = link.page.queue_limit
        except AttributeError:
            limit = link.begin_in_child()
        queue = link.queue
        queue.append(self)
        if len(queue) >= limit:
            link.relieve()


def _checked_count(name: str, count: object) -> int:
    """Return a count of tokens as an integer: numpy's are taken, truth and fractions are not."""
    if isinstance(count, bool) or not hasattr(count, "__index__"):
        raise TypeError(f"{name} is a count of tokens, not {count!r}")
    number = operator.index(count)  # pyright: ignore[reportArgumentType] - that was asked
    if not 0 <= number <= MOST_TOKENS:
        raise ValueError(f"{name} is a count of tokens, not {count!r}")
    return number


def checked_score(score: float) -> float:
    """Return a score as a number that can be averaged. Raises ValueError."""
    if isinstance(score, bool) or not isinstance(score, (int, float)) or not -MOST_SCORE <= score <= MOST_SCORE:  # pyright: ignore[reportUnnecessaryIsInstance] - callers are not all checked
        raise ValueError(f"a score is a number from -{MOST_SCORE:,} to {MOST_SCORE:,}, not {score!r}")
    return float(score)
