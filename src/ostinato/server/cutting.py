"""`/tokenize`, `/detokenize` and `/tokenizer_info`: how a model tokenizes text, in the form that evaluation harnesses
expect."""

from starlette.responses import Response

from ostinato.protocols import END_OF_DOCUMENT
from ostinato.server.endpoint import Call, Endpoint, Json
from ostinato.server.problems import Problem
from ostinato.server.schema import Schema, flag, integer, record, several, text
from ostinato.server.tokens import END_NAME

MODEL: Schema = text("the model's name; may be left out where there is one")
_IDS = several(integer("a token id", 0, (1 << 32) - 1))


async def tokenize(call: Call) -> Response:
    """Text to ids."""
    served, given = call.service.find(call.body.get("model")), call.body["prompt"]
    ids = [END_OF_DOCUMENT] if given == END_NAME else served.model.tokenizer.encode(given).tolist()
    return Json({"tokens": ids, "count": len(ids)})


async def detokenize(call: Call) -> Response:
    """Ids to text."""
    served, ids = call.service.find(call.body.get("model")), call.body["tokens"]
    size = served.model.tokenizer.vocabulary_size
    if ids and max(ids) >= size:
        raise Problem(400, f"token ids must lie in 0 .. {size - 1}, got {max(ids)}", param="tokens")
    return Json({"prompt": END_NAME if ids == [END_OF_DOCUMENT] else served.model.tokenizer.decode(ids)})


async def tokenizer_info(call: Call) -> Response:
    """What a client needs to know about the tokenizer."""
    served = call.service.find(call.request.query_params.get("model"))
    return Json(
        {
            "tokenizer_class": served.model.tokenizer.kind,
            "vocab_size": served.model.tokenizer.vocabulary_size,
            "eos_token": END_NAME,
            "eos_token_id": END_OF_DOCUMENT,
            "chat_template": None,
        }
    )


ENDPOINTS = (
    Endpoint(
        "POST", "/tokenize", tokenize, "Token ids of a text",
        record({"tokens": _IDS, "count": integer("how many", 0, 1 << 53)}, required=("tokens", "count")),
        record(
            {"model": MODEL, "prompt": text("the text"), "add_special_tokens": flag("passed over: there are none")},
            required=("prompt",),
        ),
    ),
    Endpoint(
        "POST", "/detokenize", detokenize, "The text of token ids", record({"prompt": text("the text")}, ("prompt",)),
        record({"model": MODEL, "tokens": _IDS}, required=("tokens",)),
    ),
    Endpoint(
        "GET", "/tokenizer_info", tokenizer_info, "What a client has to know of the tokenizer (?model=NAME)",
        record(
            {
                "tokenizer_class": text("character, word, byte or whitespace"),
                "vocab_size": integer("token ids", 1, 1 << 32),
                "eos_token": text("the end of a document"),
                "eos_token_id": integer("its id", 0, 0),
            },
            required=("eos_token", "eos_token_id"),
        ),
    ),
)  # fmt: skip
