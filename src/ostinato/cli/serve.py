"""`ostinato serve MODEL...`"""

import argparse
from pathlib import Path

from ostinato.errors import needs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `serve`."""
    parser.add_argument(
        "model", nargs="+", metavar="MODEL", help="saved models or output folders of runs; NAME=MODEL sets the name"
    )
    where = parser.add_argument_group("address and access")
    where.add_argument("--host", default="127.0.0.1", metavar="A", help="address to listen on (default: 127.0.0.1)")
    where.add_argument("--port", type=int, default=8000, metavar="P", help="port (default: 8000; 0: any free port)")
    where.add_argument("--api-key-file", type=Path, metavar="F", help="file of allowed API keys, one per line")
    where.add_argument(
        "--cors",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="origin whose web pages may send requests (repeat for more)",
    )
    how = parser.add_argument_group("resources and limits")
    how.add_argument(
        "--precision", choices=("fp32", "int8"), default="fp32", help="precision of the weights (default: fp32)"
    )
    how.add_argument(
        "--max-rows", type=int, default=64, metavar="N", help="texts written at the same time (default: 64)"
    )
    how.add_argument("--queue", type=int, default=256, metavar="N", help="requests that may wait (default: 256)")
    how.add_argument(
        "--deadline", type=float, default=300.0, metavar="S", help="seconds a request may take (default: 300)"
    )
    how.add_argument(
        "--max-tokens", type=int, default=4096, metavar="N", help="tokens that a text may have (default: 4096)"
    )
    how.add_argument("--threads", type=int, metavar="N", help="threads for the model (default: chosen by its size)")
    how.add_argument("--workers", type=int, default=1, metavar="N", help="processes behind the port (default: 1)")
    parser.add_argument("--log-text", action="store_true", help="also log prompts and texts")


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C; requests are logged on standard error, a JSON object per line."""
    with needs("server", "serving"):
        from ostinato.server.running import serve
    from ostinato.api import Model
    from ostinato.engine import Limits
    from ostinato.server.options import Options, read_keys
    from ostinato.server.service import named

    options = Options(
        host=args.host,
        port=args.port,
        keys=read_keys(args.api_key_file) if args.api_key_file else (),
        origins=tuple(args.cors),
        limits=Limits(rows=args.max_rows, queue=args.queue, seconds=args.deadline),
        tokens=args.max_tokens,
        log_text=args.log_text,
    )
    models = {
        name: Model(path, precision=args.precision, threads=args.threads) for name, path in named(args.model).items()
    }
    return serve(models, options, workers=args.workers)
