"""All benchmarks, one after the other: `make bench`, or `python -m benchmarks [--quick]` for tiny sizes.

Those that need what is not here (a corpus, a peer) say so and the others go on. Fails if any fails.
"""

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FULL = {"scratch_rnn.py": [], "decode.py": [], "train.py": [], "ngram.py": [], "compressors.py": []}
QUICK = {"scratch_rnn.py": ["--steps", "2"], "decode.py": ["--quick"], "train.py": ["--quick"]}


def main() -> int:
    """Run them; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: do they run at all")
    failed = []
    for name, arguments in (QUICK if parser.parse_args().quick else FULL).items():
        print(f"\n## {name}\n", flush=True)
        if subprocess.run([sys.executable, str(HERE / name), *arguments], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
