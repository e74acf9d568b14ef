"""Run a command in a terminal and save what it prints as an SVG.

PANTS_DYNAMIC_UI=false PANTS_LEVEL=warn python docs/record.py docs/images/deploy.svg ./pants ...
"""

from __future__ import annotations

import io
import os
import pty
import re
import shlex
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS = 100


def main(picture: Path, command: list[str]) -> int:
    """Write the picture. Returns the exit code of the command."""
    printed = bytearray()

    def read(descriptor: int) -> bytes:
        data = os.read(descriptor, 65536)
        printed.extend(data)
        return data

    status = pty.spawn(command, read)
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ {shlex.join(command)}", style="bold"))
    console.print(Text.from_ansi(printed.decode(errors="replace").replace("\r\n", "\n").rstrip()))
    svg = console.export_svg(title="Terminal", unique_id="recorded")
    # The fonts would come from another host.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    picture.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n")
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
