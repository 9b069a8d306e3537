"""Reads a YAML file into a model; what is wrong is said with the file, the entry and the reason."""

from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from market_pipeline.errors import ConfigurationError

Model = TypeVar("Model", bound=BaseModel)


class Loader(yaml.SafeLoader):
    """Refuses a key that is there twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: list[Any] = []  # some cannot be hashed, which is refused below
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                problem = f"{key!r} is there twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            seen.append(key)
        return super().construct_mapping(node, deep)


def read(
    path: Path,
    model: type[Model],
    needed: str,
    where: Callable[[tuple[int | str, ...], dict[str, Any]], str],
    loader: type[Loader] = Loader,
) -> Model:
    """Read a file whose content is a mapping of which `needed` says the keys.

    `where` names an entry, given pydantic's location of an error and the content; "" is the whole.

    Raises:
        ConfigurationError: it cannot be read, is not YAML or is not what the model says.
    """
    try:
        content = yaml.load(path.read_text("utf-8"), loader)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: is not YAML: {error}") from None
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path}: must hold {needed}")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems = (
            ": ".join(filter(None, [where(item["loc"], content), _message(item["msg"])]))
            for item in error.errors()
        )
        raise ConfigurationError(f"{path}: {'; '.join(problems)}") from None


def _message(told: str) -> str:
    return told.removeprefix("Value error, ")
