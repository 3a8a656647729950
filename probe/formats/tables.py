"""Tables of text as other programs write them: separators, decimal commas, blanks, quotes."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

SEPARATORS = (",", ";", "\t")

_DECIMAL = re.compile(r"\s*[+-]?\d*,\d+([eE][+-]?\d+)?\s*")


def read_rows(path: Path, where: str) -> list[list[str]]:
    """Read a csv or tsv file as it is written: all cells are text, empty lines are left out.

    Columns of a tsv file are separated by tabs; those of a csv file by commas, or by semicolons
    or tabs where these are what makes columns. Blanks after separators do not count where the
    first line has them.

    Parameters
    ----------
    path : Path
    where : str
        What errors call the file.

    Raises
    ------
    ValueError
        If it cannot be read, is no text in UTF-8, or how its columns are separated cannot be told.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except UnicodeDecodeError:
        raise ValueError(f"{where} is not text in UTF-8: save it as such") from None
    except OSError as error:
        raise ValueError(f"{where} cannot be read ({error.strerror})") from None
    if path.suffix.lower() == ".tsv":
        return _split(text, "\t", where)
    header = next((line for line in io.StringIO(text) if line.strip()), "")
    tried = [one for one in SEPARATORS if one in header and _columns(header, one) > 1]
    if len(tried) < 2:
        return _split(text, tried[0] if tried else ",", where)
    rows_by = {one: _split(text, one, where) for one in tried}
    even = [one for one, rows in rows_by.items() if len({len(row) for row in rows}) == 1]
    if len(even) == 1:
        return rows_by[even[0]]
    commas = [cell for row in rows_by.get(";", []) for cell in row if "," in cell]
    if even == [",", ";"] and all(_DECIMAL.fullmatch(cell) for cell in commas):
        return rows_by[";"]
    named = " or ".join(map(repr, tried))
    raise ValueError(f"{where} may separate its columns by {named}: write it with one of them only")


def _columns(line: str, separator: str) -> int:
    # A quoted cell may go on in the next line: not strict.
    return len(next(csv.reader([line], delimiter=separator, skipinitialspace=True)))


def _split(text: str, separator: str, where: str) -> list[list[str]]:
    # Blanks after separators belong to how the table is laid out only if its header has them.
    header = next((line for line in io.StringIO(text) if line.strip()), "")
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=separator,
        strict=True,
        skipinitialspace=f"{separator} " in header,
    )
    try:
        return [row for row in reader if row]
    except csv.Error as error:
        raise ValueError(f"{where}, line {reader.line_num}: {error}") from None


def as_number(cell: str, comma: bool = False) -> float:
    """Return the number that a cell holds; NaN where it is missing.

    Parameters
    ----------
    cell : str
    comma : bool
        Whether decimals come after a comma.

    Raises
    ------
    ValueError
        If it holds no number.
    """
    text = cell.strip()
    if text.casefold() in ("", "na", "nan", "n/a", "null"):
        return float("nan")
    if comma:
        text = text.replace(",", ".")
    return float(text)
