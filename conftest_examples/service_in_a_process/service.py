"""An agent behind HTTP, in a process of its own: what most end-to-end tests drive."""

from __future__ import annotations

import openai
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

SYSTEM = "You are the desk of a shop. Answer in one sentence."


def ask(request: Request) -> JSONResponse:
    """Answer one question. Where the model is comes from the environment, as in production."""
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": request.query_params["question"]}]
    reply = openai.OpenAI().chat.completions.create(model="gpt-4.1-mini", messages=messages)
    return JSONResponse({"answer": reply.choices[0].message.content})


app = Starlette(routes=[Route("/ask", ask)])
