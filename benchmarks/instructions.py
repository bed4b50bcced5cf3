"""What the inner loops of the ARM64 library's products are made of: speed that can be counted without the machine.

    python benchmarks/instructions.py [LIBRARY] [--objdump NAME]

For every loop without a branch inside that has at least 8 multiply-adds of vectors: the function, its multiply-adds,
its loads, and all other instructions of a turn. `make arm` builds the library.
"""

import argparse
import re
import subprocess
from collections.abc import Iterator

INSTRUCTION = re.compile(r"\s*([0-9a-f]+):\t(\S+)\s*(.*)")
PRODUCTS = {"fmla", "fmls", "sdot", "smmla", "bfmmla", "sadalp"}


def loops(text: str) -> Iterator[tuple[str, list[str]]]:
    """(function, opcodes of one turn) of every loop that ends in a branch back and has no other branch."""
    function, body = "", list[tuple[int, str]]()
    for line in text.splitlines():
        if line.endswith(">:"):
            function, body = line.split("<", 1)[1][:-2], []
        elif found := INSTRUCTION.match(line):
            address, opcode, operands = int(found[1], 16), found[2], found[3]
            body.append((address, opcode))
            if opcode.startswith(("b.", "cb", "tb", "bl", "br", "ret")) or opcode == "b":
                target = re.search(r"\b([0-9a-f]+) <", operands)
                if opcode.startswith("b.") and target and body[0][0] <= int(target[1], 16) < address:
                    yield function, [name for at, name in body if at >= int(target[1], 16)]
                body = []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", nargs="?", default="build/arm/libostinato.so")
    parser.add_argument("--objdump", default="aarch64-linux-gnu-objdump")
    given = parser.parse_args()
    command = [given.objdump, "-dC", "--no-show-raw-insn", given.library]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = {
        (function, sum(name in PRODUCTS for name in turn), sum(name.startswith("ld") for name in turn), len(turn))
        for function, turn in loops(text)
    }
    print("| function | multiply-adds | loads | others |\n|---|---|---|---|")
    for function, products, loaded, size in sorted(rows):
        if products >= 8:
            print(f"| {function} | {products} | {loaded} | {size - products - loaded} |")


if __name__ == "__main__":
    main()
