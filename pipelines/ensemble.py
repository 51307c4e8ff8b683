"""Combine models into an ensemble: a model folder that holds its members and averages their predictions."""

from collections.abc import Sequence
from pathlib import Path

from transect.pipelines import model_folder
from transect.pipelines.errors import UsageError
from transect.pipelines.find import app_class, app_summary


def ensemble(sources: Sequence[str], out: Path) -> None:
    """Write the model folder of an ensemble.

    Args:
        sources: two or more models of one app: run ids, `runs:/RUN_ID/model`, `models:/NAME@ALIAS` or model folders.
        out: the model folder to write; the members are copied into it.

    Raises:
        UsageError: a model does not exist or is an ensemble itself, or the models cannot be averaged.
    """
    if len(sources) < 2:
        raise UsageError(f"ensemble: found {len(sources)} model, expected two or more")
    folders = [model_folder.find(model_folder.uri(source)) for source in sources]
    app_names = [model_folder.app_of(folder) for folder in folders]
    for source, folder, app_name in zip(sources, folders, app_names, strict=True):
        if app_name != app_names[0]:
            raise UsageError(f"{source}: found a model of {app_name}, expected one of {app_names[0]} as {sources[0]}")
        if model_folder.members_of(folder):
            raise UsageError(f"{source}: found an ensemble, expected a single model; name its members instead")
    try:
        app = app_class(app_names[0]).ensemble([model_folder.app_for(folder) for folder in folders])
    except ValueError as error:
        raise UsageError(f"ensemble of {', '.join(sources)}: {error}") from error
    model_folder.save_ensemble(out, app_names[0], app, folders, _card(app_names[0], sources, folders))


def _card(app_name: str, sources: Sequence[str], folders: Sequence[Path]) -> str:
    rows = "\n".join(
        f"| {number} | `{source}` | `{model_folder.fingerprint(folder)}` |"
        for number, (source, folder) in enumerate(zip(sources, folders, strict=True))
    )
    return f"""# {app_name}

{app_summary(app_name)}

An ensemble: predictions are the mean of those of its members, and are written with their standard deviation.

| member | model | SHA-256 |
|---|---|---|
{rows}
"""
