"""One call of a model with a prompt: timed, and recorded for the version that was used."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from promptctl.client import argument_checks, process_local, processes, replies
from promptctl.rules.tokens import MOST_TOKENS
from promptctl.rules.use_ids import UseIds

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from promptctl.client.served_version import PromptOfUse

_NO_REPLY: Any = object()
_now = time.perf_counter


# Has `ids`, from which uses get their ids. A child process must not make the same ids as its parent.
_process_local = process_local.take()


def _renew_ids() -> UseIds:
    _process_local.ids = ids = UseIds()
    return ids


processes.renew_in_child(_renew_ids)


class Use:
    """A `with` block around one call of a model. Its end records the call, with its time and what `record` received.

    An exception that leaves the block is recorded as the outcome, by the name of its class.
    """

    # Class attributes, because most keep their default, and setting them on each instance would take time.
    outcome = "ok"
    usage: Any = None
    earlier_usages: tuple[Any, ...] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None
    model: str | None = None
    request_id: str | None = None
    first_token_at: float | None = None
    early_score: float | None = None
    _id: str | None = None

    def __init__(self, prompt: PromptOfUse) -> None:
        self.prompt = prompt
        # Set on the instance, because every use reads them and a lookup in the class takes longer. 0: not begun, not
        # ended.
        self.began = self.ended = 0.0

    @property
    def trace_id(self) -> int:
        """The trace of OpenTelemetry to which the call belongs; 0: none. promptctl.otel overrides it."""
        return 0

    @property
    def id(self) -> str:
        """The id of the use, for a later score."""
        use_id = self._id
        if use_id is None:
            # Usually the recorder's thread makes the id. If two threads do so at the same time, `setdefault` keeps the
            # first id. A lock could be held by the code that a signal handler interrupts.
            try:
                ids = _process_local.ids
            except AttributeError:
                ids = _renew_ids()
            use_id = self.__dict__.setdefault("_id", ids.new(self.began))
        return use_id

    def record(
        self,
        reply: object = _NO_REPLY,
        *,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        model: str | None = None,
    ) -> None:
        """Record the tokens and the model of the call, from a reply or as numbers.

        A reply is an object of Anthropic's SDK, or has the field names of Bedrock, OpenAI, LiteLLM, LangChain or
        Pydantic AI. A mapping, such as `model_dump()` returns, is accepted as well. The tokens of several replies are
        added up, but the same reply counts once. Invalid counts in a reply are ignored.

        `input_tokens` is all of the input, including cached tokens. A number that is passed is recorded instead of the
        replies' sum.

        Raises TypeError for a reply without readable usage, such as None, unless a number is passed; TypeError or
        ValueError for a number that is not a count of tokens; RuntimeError outside the block.
        """
        if self.ended or not self.began:
            raise self._outside("record")
        # The most frequent type first, without a call, because the application waits for this.
        if type(input_tokens) is int and 0 <= input_tokens <= MOST_TOKENS:
            self.input_tokens = input_tokens
        elif input_tokens is not None:
            self.input_tokens = argument_checks.token_count("input_tokens", input_tokens)
        if type(output_tokens) is int and 0 <= output_tokens <= MOST_TOKENS:
            self.output_tokens = output_tokens
        elif output_tokens is not None:
            self.output_tokens = argument_checks.token_count("output_tokens", output_tokens)
        if reply is not _NO_REPLY:
            # Keep only the reply's usage, so that the reply can be freed. The recorder's thread reads the counts.
            usage: Any = None
            model_of_reply: Any = None
            any_reply: Any = reply
            try:
                usage = any_reply.usage
                model_of_reply = any_reply.model
                is_readable = type(usage.input_tokens) is int and usage.input_tokens >= 0
            except Exception:  # noqa: BLE001 - a reply may be of any kind
                is_readable = False
            if is_readable:
                self.model = model_of_reply
                self.request_id = getattr(reply, "_request_id", None)
            else:
                has_number = input_tokens is not None or output_tokens is not None
                usage = self._read_other_reply(reply, has_number=has_number)
            if self.usage is None:
                self.usage = usage
            elif usage is not None and not any(usage is earlier for earlier in (self.usage, *self.earlier_usages)):
                self.earlier_usages = (*self.earlier_usages, self.usage)
                self.usage = usage
        if model is not None:
            self.model = model

    def _read_other_reply(self, reply: object, *, has_number: bool) -> object:
        """Set the model and the request id from a reply that is not Anthropic's. Return its usage.

        Raises TypeError for a reply without readable usage, unless a number was passed as well.
        """
        try:
            usage, self.model, self.request_id = replies.read(reply)
        except TypeError:
            if not has_number:
                raise
            usage = None
            self.model, self.request_id = replies.model_and_request_id(reply)
        return usage

    def _outside(self, method: str) -> RuntimeError:
        """Return the error for a method that was called outside the block."""
        when = "after" if self.ended else "before"
        return RuntimeError(
            f"{method}() was called {when} the block of its use: call it in `with prompt.use() as use:`"
        )

    def first_token(self) -> None:
        """Record the time to the first token. Only the first call counts. Raises RuntimeError outside the block."""
        if self.ended or not self.began:
            raise self._outside("first_token")
        if self.first_token_at is None:
            self.first_token_at = _now()

    def failed(self, outcome: str) -> None:
        """Record a failure that raised no exception, by its name. Raises RuntimeError outside the block."""
        if self.ended or not self.began:
            raise self._outside("failed")
        self.outcome = "failed" if outcome in ("", "ok") else outcome

    def score(self, score: float) -> None:
        """Score the call, in the block or later: a higher number is better. The last score counts.

        Scores of an application's own text are ignored. Raises ValueError for anything but a number from minus a
        billion to a billion.
        """
        number = argument_checks.score_number(score)
        if self.prompt.served_version.version is None:
            return
        if self.ended:
            self.prompt.link.score(self.id, number)
        else:
            self.early_score = number

    def __enter__(self) -> Self:
        if self.began:
            raise RuntimeError("a use is for one call: start another with prompt.use()")
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
            wake_length = link.process_local.wake_length
        except AttributeError:  # this is a new child process
            wake_length = link.restart_in_child()
        queue = link.queue
        queue.append(self)
        if len(queue) >= wake_length:
            link.on_wake_length()
