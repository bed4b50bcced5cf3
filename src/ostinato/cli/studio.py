"""`ostinato studio [DIR]`"""

import argparse
from pathlib import Path

from ostinato.errors import needs
from ostinato.files import path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `studio`."""
    parser.add_argument(
        "folder", nargs="?", type=path, default=Path("studio"), metavar="DIR",
        help="folder for texts, runs and everything else (default: studio)",
    )  # fmt: skip
    parser.add_argument(
        "--port", type=int, metavar="P", help="port (default: 8010, or any free port if it is taken; 0: any free port)"
    )
    parser.add_argument("--no-open", action="store_true", help="do not open a browser, only print the address")
    parser.add_argument("--max-upload", type=int, default=256, metavar="MB", help="largest upload in MB (default: 256)")


def run(args: argparse.Namespace) -> int:
    """Serve the page on this machine until SIGTERM or Ctrl-C; what is being trained goes on."""
    with needs("server", "the studio"):
        from ostinato.studio.running import studio

    return studio(args.folder, port=args.port, upload_bytes=args.max_upload * 1_000_000, open_page=not args.no_open)
