"""python answer.py USER QUESTION: Claude's answer, with the active version."""

import sys

import anthropic

from promptctl import Prompts

prompts = Prompts()
claude = anthropic.Anthropic()
user, question = sys.argv[1:]

prompt = prompts.get("default-system-prompt", unit=user)
with prompt.use() as use:  # measures the latency; records an exception as an error
    request = {"max_tokens": 1024} | prompt.request(messages=[{"role": "user", "content": question}])
    reply = claude.messages.create(**request)
    use.record(reply)  # the reply's tokens and model
text = "".join(block.text for block in reply.content if block.type == "text")
print(f"{prompt}: {text}")
