"""uvicorn service_asgi:app: the same as a Starlette application, on one event loop. FastAPI needs the same lines.

POST /answer {"user": "ada", "plan": "free", "question": "…"} → {"answer": "…", "prompt": "…", "use": "…"}
"""

import contextlib

import anthropic
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.routing import Route

from promptctl import Prompts

NAME = "default-system-prompt"

prompts = Prompts()


async def answer(request):
    """Ask Claude for this user. `get` and `use` work from memory, so they do not block the event loop."""
    question = await request.json()
    prompt = prompts.get(
        NAME, unit=question["user"], attributes={"plan": question["plan"]}, default="Be brief and kind."
    )
    # For what neither the version nor the default text has.
    call = {"model": "claude-sonnet-5-5", "max_tokens": 1024} | prompt.request(
        {"user.name": question["user"]}, messages=[{"role": "user", "content": question["question"]}]
    )
    with prompt.use() as use:
        reply = await request.app.state.claude.messages.create(**call)
        use.record(reply)
    text = "".join(block.text for block in reply.content if block.type == "text")
    return JSONResponse({"answer": text, "prompt": str(prompt), "use": use.id})


@contextlib.asynccontextmanager
async def lifespan(app):
    """Read the prompt before the first request, and send the last uses after the last request."""
    await run_in_threadpool(prompts.preload, [NAME])
    # uvicorn ends the process by re-raising its signal: without this, the last uses would not be sent.
    async with prompts.lifespan(app), anthropic.AsyncAnthropic() as app.state.claude:
        yield


app = Starlette(routes=[Route("/answer", answer, methods=["POST"])], lifespan=lifespan)
