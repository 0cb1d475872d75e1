"""python answer.py USER QUESTION: Claude's answer, with the version that is live."""

import sys

import anthropic

from promptctl import Prompts

prompts = Prompts()
claude = anthropic.Anthropic()
user, question = sys.argv[1:]

prompt = prompts.get("default-system-prompt", unit=user)
with prompt.use() as use:  # takes the time; what is raised in it is booked as an error
    reply = claude.messages.create(
        model="claude-sonnet-5-5",
        max_tokens=1024,
        system=prompt.render(),
        messages=[{"role": "user", "content": question}],
    )
    use.record(reply)  # its tokens and its model
print(f"{prompt}: {reply.content[0].text}")
