"""Several `ostinato` commands, one after the other, as one job: `python -m ostinato.studio.several FOLDER COMMANDS`.

COMMANDS is a JSON list of lists of arguments. Their JSON results are printed as one object, {"results": [...]}. A
signal ends the one that runs and those to come; the folder's lock is held all the while, so that the job can be found.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from ostinato.bundle import RUN_LOCK
from ostinato.files import hold
from ostinato.terminal import say_json


def main(arguments: Sequence[str]) -> int:
    """Run the commands; the exit code of the first that fails, whose words are the last on standard error."""
    folder, commands = Path(arguments[0]), json.loads(arguments[1])
    folder.mkdir(parents=True, exist_ok=True)
    running: list[subprocess.Popen[bytes]] = []
    stopped = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True
        for process in running:
            process.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    results, code = [], 0
    with hold(folder / RUN_LOCK, what="comparing", place=folder):
        for command in commands:
            process = subprocess.Popen([sys.executable, "-P", "-m", "ostinato", *command], stdout=subprocess.PIPE)
            running[:] = [process]
            said, _ = process.communicate()
            code = process.returncode
            if said.strip():
                results.append(json.loads(said))
            if code or stopped:
                break
    if results:
        say_json({"results": results})
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
