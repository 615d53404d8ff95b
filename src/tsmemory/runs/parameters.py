"""Parameters: unknown or impossible ones are refused, and all have one normal form."""

import dataclasses
import difflib
import inspect
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Annotated, Any, get_origin, get_type_hints

from kedro.config import AbstractConfigLoader, OmegaConfigLoader
from kedro.pipeline import Pipeline
from kedro.validation.model_factory import instantiate_model
from kedro.validation.type_extractor import TypeExtractor
from kedro.validation.utils import _MISSING, _unwrap_optional, resolve_nested_dict_path
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from tsmemory.runs.artefacts import Catalog
from tsmemory.runs.errors import ParameterError

PREFIX = "params:"
UNKNOWN_NAMES = {"extra_forbidden", "unexpected_keyword_argument"}  # of models, of dataclasses
Types = Mapping[str, type]
# Where data lie: the catalog reads these from the command line or globals.yml, never from here.
PLACES = (
    *("ingestion.path", "ingestion.download", "ingestion.source"),
    *("forecasting.path", "forecasting.artefact", "forecasting.backbone", "forecasting.device"),
)


def parameter_types(pipelines: Mapping[str, Pipeline]) -> Types:
    """Collect the types that nodes declare for their parameters, by dotted path."""
    found = TypeExtractor(dict(pipelines)).extract_types_from_pipelines()
    return {key: _unwrap_optional(kind) for key, kind in found.items()}


def constrained_types(pipelines: Mapping[str, Pipeline]) -> dict[str, Any]:
    """Collect the ``Annotated`` types of single values, which Kedro itself does not look at."""
    found = {}
    for node in {node.name: node for part in pipelines.values() for node in part.nodes}.values():
        if not inspect.isfunction(node.func):
            continue  # a partial or an object has no hints of its own
        hints = get_type_hints(node.func, include_extras=True)
        arguments = TypeExtractor._build_dataset_to_arg_mapping(node, inspect.signature(node.func))
        for name, argument in arguments.items():
            if name.startswith(PREFIX) and get_origin(hints.get(argument)) is Annotated:
                found[name.removeprefix(PREFIX)] = hints[argument]
    return found


def check_parameters(loader: AbstractConfigLoader, pipelines: Mapping[str, Pipeline]) -> None:
    """Refuse unknown and impossible parameters before anything else happens.

    Args:
        loader: The project's configuration, runtime parameters included.
        pipelines: All registered pipelines; their nodes declare the parameters' types.

    Raises:
        ParameterError: Naming every offending parameter by its dotted path.
    """
    problems = _unknown_names(loader) or _places_out_of_sight(loader)
    if not problems:
        values = loader["parameters"]
        constrained = constrained_types(pipelines)
        for key, kind in {**parameter_types(pipelines), **constrained}.items():
            value = resolve_nested_dict_path(values, key)
            left_to_kedro = value is None and key not in constrained
            if value is not _MISSING and not left_to_kedro:
                problems += _invalid_values(key, value, kind)
    if problems:
        # Once each, also where steps ask for a model and for a part of it.
        raise ParameterError("\n".join(["the parameters are not valid:", *dict.fromkeys(problems)]))


def _unknown_names(loader: AbstractConfigLoader) -> list[str]:
    """Runtime parameters whose first name the configuration does not have."""
    given = loader.runtime_params or {}
    if not given or not isinstance(loader, OmegaConfigLoader):
        return []
    known: set[str] = set()
    for kind in ("parameters", "globals"):
        # The files as they are written: `loader["parameters"]` has the runtime ones merged in.
        base, env, *_ = loader._read_raw_config(kind)
        known.update(str(name) for file in (base | env).values() for name in file)
    return [_unknown(str(name), "", known) for name in given if name not in known]


def _places_out_of_sight(loader: AbstractConfigLoader) -> list[str]:
    """Places that a file of parameters names, where the catalog does not see them."""
    if not isinstance(loader, OmegaConfigLoader):
        return []
    values, problems = loader["parameters"], []
    for key in PLACES:
        given = resolve_nested_dict_path(values, key)
        asked = resolve_nested_dict_path(loader.runtime_params or {}, key)
        known = resolve_nested_dict_path(loader["globals"], key)
        if asked is _MISSING and known is not _MISSING and given not in (known, _MISSING):
            problems.append(
                f"  {key} = {given!r}: the catalog does not read files of parameters; set it in "
                "conf/<environment>/globals.yml, or with --params"
            )
    return problems


def _invalid_values(key: str, value: Any, kind: type) -> list[str]:
    """Say which entries of one typed parameter cannot be, each by its dotted path."""
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        return [_explain(key, kind, details) for details in error.errors()]
    return []


def _explain(key: str, kind: type, details: Any) -> str:
    """Turn one of pydantic's errors into a line that begins with the parameter's path."""
    location = [str(part) for part in details["loc"]]
    if details["type"] in UNKNOWN_NAMES:
        prefix = ".".join([key, *location[:-1], ""])
        return _unknown(location[-1], prefix, _fields(kind, location[:-1]))
    message = details["msg"].removeprefix("Value error, ")
    given = details.get("input")
    shown = "" if isinstance(given, (Mapping, BaseModel)) else f" = {given!r}"
    return f"  {'.'.join([key, *location])}{shown}: {message}"


def _fields(kind: Any, location: Iterable[str]) -> set[str]:
    """Field names of the model or dataclass that lies at a path inside another."""
    for part in location:
        kind = _unwrap_optional(_field_types(kind).get(part, type(None)))
    return set(_field_types(kind))


def _field_types(kind: Any) -> dict[str, Any]:
    """Types of the fields of a model or dataclass by name; none of anything else."""
    if dataclasses.is_dataclass(kind):
        return {field.name: field.type for field in dataclasses.fields(kind)}
    return {name: field.annotation for name, field in getattr(kind, "model_fields", {}).items()}


def _unknown(name: str, prefix: str, known: set[str]) -> str:
    """Point from an unknown name to the nearest one, or to all."""
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {prefix}{close[0]}?" if close else f"known: {', '.join(sorted(known))}"
    return f"  {prefix}{name}: unknown parameter; {hint}"


class ParameterValues:
    """Parameters as plain JSON-like values, the same whichever pipelines a run comprises.

    Kedro turns only the parameters of the requested pipelines into models, so that what the
    catalog holds for one parameter differs between runs: a model with its defaults filled in, or
    the bare mapping from the file. Fingerprints need one form.

    Models may say what a fingerprint should make of them, without knowing of runs:

    - a field with ``json_schema_extra={"affects_results": False}`` cannot change results and does
      not count; with ``"affects_results": "file_name"`` only the last part of a path counts; the
      same in the ``metadata`` of a dataclass's field;
    - a model with a method ``content_fingerprint() -> str | None`` names something outside of the
      configuration, whose content counts; ``None`` where it cannot be had.
    """

    def __init__(self, catalog: Catalog, types: Types) -> None:
        """Read parameters of ``catalog``, normalised by ``types`` (:func:`parameter_types`)."""
        self._catalog = catalog
        self._types = types

    def value(self, name: str) -> Any:
        """Return ``params:<dotted path>``, or all ``parameters``, as JSON-like values."""
        return to_jsonable_python(self._typed(name))

    def essence(self, name: str) -> Any:
        """The same without what cannot change results."""
        return essence(self._typed(name))

    def flat(self, name: str) -> dict[str, Any]:
        """The essence by dotted paths, for people."""
        return _flatten(name.removeprefix(PREFIX), self.essence(name))

    def contents(self, name: str) -> dict[str, str | None]:
        """Content fingerprints of what the models in a parameter name, by ``params:<path>``."""
        return _contents(name, self._typed(name))

    def _typed(self, name: str) -> Any:
        """A parameter with models wherever nodes declare them."""
        if name == "parameters":
            return {key: self._typed(f"{PREFIX}{key}") for key in self._load(name) or {}}
        key = name.removeprefix(PREFIX)
        parts = key.split(".")
        for length in range(1, len(parts)):
            root = ".".join(parts[:length])
            if root in self._types and f"{PREFIX}{root}" in self._catalog:
                value = self._typed(f"{PREFIX}{root}")
                for part in parts[length:]:
                    value = value[part] if isinstance(value, Mapping) else getattr(value, part)
                return value
        return self._normalise(key, self._load(name))

    def _load(self, name: str) -> Any:
        dataset = self._catalog.get(name)
        return None if dataset is None else dataset.load()

    def _normalise(self, key: str, value: Any) -> Any:
        if isinstance(value, dict):
            if key not in self._types:
                return {name: self._normalise(f"{key}.{name}", v) for name, v in value.items()}
            return instantiate_model(key, value, self._types[key])
        return value


def essence(value: Any) -> Any:
    """A value as JSON-like values, without the fields that cannot change results."""
    if isinstance(value, Mapping):
        return {str(name): essence(part) for name, part in value.items()}
    marks = _marks(value)
    if marks is None:
        return to_jsonable_python(value)
    kept = {}
    for name, effect in marks.items():
        part = getattr(value, name)
        if effect == "file_name":
            kept[name] = PurePath(part).name
        elif effect:
            kept[name] = essence(part)
    return kept


def _marks(value: Any) -> dict[str, Any] | None:
    """Whether each field of a model or dataclass affects results; ``None`` for anything else."""
    if isinstance(value, BaseModel):
        fields = type(value).model_fields.items()
        extras: dict[str, Any] = {name: field.json_schema_extra for name, field in fields}
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        extras = {field.name: dict(field.metadata) for field in dataclasses.fields(value)}
    else:
        return None
    return {
        name: extra.get("affects_results", True) if isinstance(extra, dict) else True
        for name, extra in extras.items()
    }


def _contents(name: str, value: Any) -> dict[str, str | None]:
    """Content fingerprints that a value and the models inside it offer."""
    found = {}
    if callable(offer := getattr(value, "content_fingerprint", None)):
        found[name] = offer()
    parts = dict(value) if isinstance(value, (Mapping, BaseModel)) else {}
    for key, part in parts.items():
        inner = f"{PREFIX}{key}" if name == "parameters" else f"{name}.{key}"
        found |= _contents(inner, part)
    return found


def _flatten(key: str, value: Any) -> dict[str, Any]:
    """Nested mappings as one, by dotted paths."""
    if not isinstance(value, dict) or not value:
        return {key: value}
    flat: dict[str, Any] = {}
    for name, part in value.items():
        flat |= _flatten(f"{key}.{name}", part)
    return flat
