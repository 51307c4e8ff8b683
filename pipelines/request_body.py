"""Parse the body of a request to the server: JSON in the four forms that MLflow's scoring server takes, or CSV."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from transect.data_adapters.base import BadInput

FORMS = ("dataframe_records", "dataframe_split", "instances", "inputs")
PARAMETERS = ("out",)


def parse(body: bytes, content_type: str, columns: Sequence[str]) -> tuple[list[list[str]], dict[str, Any]]:
    """The rows and the parameters of a request.

    Args:
        body: the content.
        content_type: `application/json` or `text/csv`. Anything else is refused, above all what a web page of another
            site may send without asking.
        columns: the names of the files of a case.

    Returns:
        For each row its files in the order of `columns`, and the parameters by name.

    Raises:
        BadInput: the content has another form, lacks a column, or has an unknown parameter.
    """
    kind, _, charset = (part.strip() for part in content_type.lower().partition(";"))
    if kind not in ("application/json", "text/csv") or charset not in ("", "charset=utf-8"):
        raise BadInput("Content-Type", "value", content_type or "none", "application/json or text/csv in UTF-8")
    try:
        text = body.decode("utf-8-sig")
        content = json.loads(text) if kind == "application/json" else _csv(text)
    except (ValueError, RecursionError, csv.Error) as error:
        raise BadInput("body", "content", type(error).__name__, f"{kind} in UTF-8") from None
    if not isinstance(content, dict) or len(content.keys() & set(FORMS)) != 1 or content.keys() - {*FORMS, "params"}:
        found = _names(content) if isinstance(content, dict) else type(content).__name__
        raise BadInput("body", "keys", found, f"one of {', '.join(FORMS)}, and params")
    parameters = content.pop("params", None) or {}
    if not isinstance(parameters, dict) or parameters.keys() - set(PARAMETERS):
        found = _names(parameters) if isinstance(parameters, dict) else type(parameters).__name__
        raise BadInput("body", "params", found, f"only {', '.join(PARAMETERS)}")
    ((form, table),) = content.items()
    return [_files(row, number, columns) for number, row in enumerate(_records(form, table), 1)], parameters


def _csv(text: str) -> dict[str, Any]:
    return {"dataframe_records": list(csv.DictReader(io.StringIO(text, newline=""), strict=True))}


def _records(form: str, table: Any) -> Iterable[Any]:
    """The rows of a table as objects."""
    try:
        if form == "dataframe_split":
            columns = list(table["columns"])
            return [dict(zip(columns, row, strict=True)) for row in table["data"]]
        if isinstance(table, dict):
            values = [value if isinstance(value, list) else [value] for value in table.values()]
            return [dict(zip(table, row, strict=True)) for row in zip(*values, strict=True)]
    except (KeyError, TypeError, ValueError):
        raise BadInput("body", form, "a table of another form", "columns of equal length") from None
    if not isinstance(table, list):
        raise BadInput("body", form, type(table).__name__, "a list of rows")
    return table


def _files(row: Any, number: int, columns: Sequence[str]) -> list[str]:
    if not isinstance(row, Mapping) or not set(columns) <= row.keys():
        found = _names(row) if isinstance(row, Mapping) else type(row).__name__
        raise BadInput("body", f"columns of row {number}", found, ", ".join(columns))
    for column in columns:
        if not isinstance(row[column], str):
            raise BadInput("body", f"{column} of row {number}", type(row[column]).__name__, "the path of a file")
    return [row[column] for column in columns]


def _names(content: Mapping[Any, Any]) -> str:
    return ", ".join(map(str, content))[:200] or "none"
