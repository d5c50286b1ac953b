"""Files that are made from tables and kept in the repository: written, or compared."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from pathlib import Path


def main(module: str, folder: Path, files: Mapping[str, str], arguments: Sequence[str] | None = None) -> int:
    """Write the files that a folder consists of; with `--check` only say which are not current."""
    parser = ArgumentParser(prog=f"python -m {module}", description=f"Write the files of {folder.name}/.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is not current")
    check = parser.parse_args(arguments).check
    names = outdated(folder, files)
    if check and names:
        sys.stderr.write(f"not current, run `python -m {module}`: {', '.join(names)}\n")
        return 1
    for name in names:
        path = folder / name
        if name in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[name], encoding="utf-8")
        else:
            path.unlink()
    return 0


def outdated(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Names of files that are missing, differ, or do not belong in the folder."""
    present = {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }
    return sorted(name for name in present.keys() | files.keys() if present.get(name) != files.get(name))
