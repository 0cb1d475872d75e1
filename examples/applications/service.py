"""python service.py [PORT]: a web service that answers with the active version, and accepts ratings.

POST /answer {"user": "ada", "plan": "free", "question": "…"} → {"answer": "…", "prompt": "…", "use": "…"}
POST /score  {"use": "…", "score": 1}                         → {}
"""

import json
import logging
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anthropic

from promptctl import Prompts

NAME = "default-system-prompt"

logging.basicConfig(level=logging.INFO)
prompts = Prompts()
claude = anthropic.Anthropic()


def answer(question):
    """Ask Claude for this user, and record the use on the version that the user gets."""
    prompt = prompts.get(
        NAME, unit=question["user"], attributes={"plan": question["plan"]}, default="Be brief and kind."
    )
    # For what neither the version nor the default text has.
    request = {"model": "claude-sonnet-5-5", "max_tokens": 1024} | prompt.request(
        {"user.name": question["user"]}, messages=[{"role": "user", "content": question["question"]}]
    )
    pieces = []
    with prompt.use() as use, claude.messages.stream(**request) as stream:
        for text in stream.text_stream:
            use.first_token()  # only the first call counts
            pieces.append(text)
        use.record(stream.get_final_message())
    return {"answer": "".join(pieces), "prompt": str(prompt), "use": use.id}


def score(rating):
    """Record a user's rating of an answer."""
    prompts.score(rating["use"], rating["score"])
    return {}


class Handler(BaseHTTPRequestHandler):
    """One thread for each request; all share `prompts`."""

    def do_POST(self):
        """Answer in JSON."""
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        response = json.dumps({"/answer": answer, "/score": score}[self.path](request)).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(response)))
        self.end_headers()
        self.wfile.write(response)


prompts.preload([NAME])  # fail here, and not at a request, for an unknown name or an unreachable database
server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 8000), Handler)
server.daemon_threads = False  # finish the requests that are running
# Without a handler, SIGTERM ends Python without cleanup, and the uses of the last half second would not be sent.
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
print(f"http://127.0.0.1:{server.server_port}", flush=True)
with server, prompts:
    server.serve_forever()
