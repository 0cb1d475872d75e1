"""python service.py [PORT]: a web service that answers with the version that is live, and takes ratings.

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


def answer(asked):
    """Ask Claude for this user; whichever version they are served is the one on which the call is booked."""
    prompt = prompts.get(NAME, unit=asked["user"], attributes={"plan": asked["plan"]}, default="Be brief and kind.")
    request = {
        "model": prompt.settings.get("model", "claude-sonnet-5-5"),
        "max_tokens": prompt.settings.get("max_tokens", 1024),
        "system": prompt.render({"user.name": asked["user"]}),
        "messages": [{"role": "user", "content": asked["question"]}],
    }
    pieces = []
    with prompt.use() as use, claude.messages.stream(**request) as stream:
        for text in stream.text_stream:
            use.first_token()  # only the first call counts
            pieces.append(text)
        use.record(stream.get_final_message())
    return {"answer": "".join(pieces), "prompt": str(prompt), "use": use.id}


def score(asked):
    """Attach a rating that a user gave, to whichever version had answered."""
    prompts.score(asked["use"], asked["score"])
    return {}


class Handler(BaseHTTPRequestHandler):
    """One thread for each request; all share `prompts`."""

    def do_POST(self):
        """Answer in JSON."""
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        said = json.dumps({"/answer": answer, "/score": score}[self.path](asked)).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)


prompts.preload([NAME])  # an unknown name, or a database that is not there, ends it here and not at a request
server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 8000), Handler)
server.daemon_threads = False  # whoever is being answered gets the rest
# A plain SIGTERM would end Python without its endings: what was booked in the last half second would not be sent.
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
print(f"http://127.0.0.1:{server.server_port}", flush=True)
with server, prompts:
    server.serve_forever()
