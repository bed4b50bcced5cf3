"""What people write today: a web server around a torch.nn loop, one request at a time behind a lock.

    python benchmarks/serve_peer.py MODEL PORT

POST /v1/completions {"prompt", "max_tokens"} gives server-sent events, a token each. Starlette stands for FastAPI,
which is Starlette with a validation layer that costs more, not less. One thread of torch does the arithmetic: more do
not pay at these sizes.
"""

import asyncio
import json
import sys

import torch
import uvicorn
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

import ostinato

torch.set_num_threads(1)
saved = ostinato.load(sys.argv[1])
config = saved.config["model"]


class Language(torch.nn.Module):
    """Embedding, LSTM, head."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(config["vocabulary_size"], config["embedding_size"])
        self.recurrent = torch.nn.LSTM(config["embedding_size"], config["hidden_size"], config["layers"])
        self.head = torch.nn.Linear(config["hidden_size"], config["vocabulary_size"])

    def forward(self, ids, state):
        """Logits (B, V) and the state after one token a row."""
        out, state = self.recurrent(self.embedding(ids)[None], state)
        return self.head(out[0]), state


model = Language().eval()
model.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in saved.tensors.items()})
lock = asyncio.Lock()


@torch.inference_mode()
def step(ids, state):
    """Logits and the state after one token."""
    return model(torch.tensor(ids), state)


async def tokens(prompt, count):
    """Server-sent events, a token each; the next request waits until this one is finished."""
    async with lock:
        state = None
        for token_id in [0, *saved.tokenizer.encode(prompt).tolist()]:
            logits, state = step([token_id], state)
        for _ in range(count):
            drawn = int(torch.multinomial(torch.softmax(logits, -1), 1))
            text = saved.tokenizer.decode([drawn])
            yield f"data: {json.dumps({'choices': [{'text': text, 'index': 0}]})}\n\n"
            logits, state = step([drawn], state)
    yield "data: [DONE]\n\n"


async def complete(request):
    """The endpoint."""
    body = await request.json()
    return StreamingResponse(tokens(body["prompt"], body["max_tokens"]), media_type="text/event-stream")


app = Starlette(routes=[Route("/v1/completions", complete, methods=["POST"])])
uvicorn.run(app, port=int(sys.argv[2]), log_level="error", access_log=False)
