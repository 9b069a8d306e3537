"""The rules of the code's structure: who imports whom, how large files are, what README shows."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "market_pipeline"
MODULES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((ROOT / "market_pipeline_tests").rglob("*.py"))
GENERATOR = sorted((ROOT / "grafana").rglob("*.py"))

MOST_LINES = 300

COMPARISON = {
    "disagreement",
    "reconciliation",
    "reconciliation_reasons",
    "reconciliation_report",
    "tolerances",
}
FOUNDATION = {"errors", "market", "sessions", "quality", "config"}
WIRES = {"brokers.kite_wire", "brokers.fyers_wire"}

# What each part may import of ours, besides itself.
ALLOWED = {
    "market": set[str](),
    "errors": set[str](),
    "calendar_table": {"errors", "market"},
    "yaml_file": {"errors"},
    "calendar_file": {"errors", "market", "calendar_table", "yaml_file"},
    "sessions": {"errors", "calendar_table", "calendar_file"},
    "quality": {"errors", "market"},
    "proof": {"market"},
    "disagreement": set[str](),
    "tolerances": {"errors", "market", "yaml_file"},
    "reconciliation_reasons": {"market", "tolerances"},
    "reconciliation": {"market", "reconciliation_reasons", "tolerances"},
    "reconciliation_report": {"sessions"} | COMPARISON,
    "config": {"errors", "sessions", "tolerances"},
    "brokers": FOUNDATION,
    "storage": FOUNDATION,
    "archive": FOUNDATION | {"storage"},
    "streaming": FOUNDATION | {"brokers", "storage"},
    "replay": FOUNDATION | {"archive", "storage", "streaming"},
    "history": FOUNDATION | COMPARISON | {"brokers", "storage"},
    "orchestration": FOUNDATION
    | COMPARISON
    | {"archive", "brokers", "history", "storage", "streaming"},
    "api": FOUNDATION | {"brokers", "storage"},
    "simulator": {"market", "sessions", "errors"} | WIRES,
    "definitions": FOUNDATION | {"orchestration"},
    "probe": set[str](),
    "processes": FOUNDATION,
    "services": FOUNDATION | {"processes", "storage"},
    "stack": FOUNDATION | {"processes", "services", "storage"},
    "dashboard": FOUNDATION | {"storage"},
    "commands": FOUNDATION
    | COMPARISON
    | {
        "api",
        "archive",
        "brokers",
        "dashboard",
        "history",
        "proof",
        "replay",
        "services",
        "simulator",
        "stack",
        "storage",
    }
    | {"streaming"},
    "client": {"client_answers", "client_stream", "errors", "market"},
    "client_stream": {"client_answers", "errors", "market"},
    "client_answers": {"errors"},
    "__main__": FOUNDATION | {"commands"},
    "__init__": set[str](),
}
MAY_IMPORT_DAGSTER = {"orchestration", "definitions"}
MAY_READ_ENVIRONMENT = {"config", "stack"}


def name_of(module: Path) -> str:
    """Return the dotted name inside the package, of a package that of its folder."""
    parts = module.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


def part_of(name: str) -> str:
    return name.split(".")[0]


def imports(module: Path) -> Iterator[str]:
    """Yield the full name of everything a module imports, wherever in it."""
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_allowed(imported: str, part: str) -> bool:
    inside = imported.removeprefix("market_pipeline.")
    if part_of(inside) == part:
        return True
    return any(inside == each or inside.startswith(f"{each}.") for each in ALLOWED[part])


def names(module: Path) -> str:
    return str(module.relative_to(ROOT))


@pytest.mark.parametrize("module", MODULES, ids=names)
def test_imports_follow_the_direction_of_dependencies(module: Path) -> None:
    part = part_of(name_of(module))
    assert part in ALLOWED, f"{part} is new: say in ALLOWED what it may import"
    ours = (name for name in imports(module) if name.startswith("market_pipeline."))
    assert [name for name in ours if not is_allowed(name, part)] == []


@pytest.mark.parametrize("module", GENERATOR, ids=names)
def test_dashboards_are_made_without_the_package(module: Path) -> None:
    assert [name for name in imports(module) if name.startswith("market_pipeline")] == []


@pytest.mark.parametrize("module", MODULES, ids=names)
def test_dagster_is_imported_by_orchestration_alone(module: Path) -> None:
    imported = {part_of(name) for name in imports(module)}
    if part_of(name_of(module)) not in MAY_IMPORT_DAGSTER:
        assert not {name for name in imported if name.startswith("dagster")}


@pytest.mark.parametrize("module", MODULES, ids=names)
def test_environment_is_read_by_config_alone(module: Path) -> None:
    if part_of(name_of(module)) in MAY_READ_ENVIRONMENT:
        return
    touched = {
        node.attr
        for node in ast.walk(ast.parse(module.read_text("utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    }
    assert not touched & {"environ", "environb", "getenv", "getenvb", "putenv"}


@pytest.mark.parametrize("module", MODULES + TESTS + GENERATOR, ids=names)
def test_every_module_says_what_belongs_in_it(module: Path) -> None:
    assert ast.get_docstring(ast.parse(module.read_text("utf-8")))


@pytest.mark.parametrize("module", MODULES + TESTS + GENERATOR, ids=names)
def test_no_file_is_too_long_to_read(module: Path) -> None:
    assert len(module.read_text("utf-8").splitlines()) <= MOST_LINES


def readme_tree() -> set[str]:
    """Return the paths in README's tree: see `paths_in`."""
    blocks = (ROOT / "README.md").read_text("utf-8").split("```")[1::2]
    bodies = (block.split("\n", 1)[1] for block in blocks if "\n" in block)
    tree = next((body for body in bodies if body.startswith("market_pipeline/")), None)
    assert tree is not None, "README.md has no code block that begins with market_pipeline/"
    return paths_in(tree)


def paths_in(tree: str) -> set[str]:
    """Read a tree: one or more names a line, two spaces of indentation a level.

    A name ends with / for a folder, else it has a dot or is one of the files without; the first
    word that is neither begins the remark. Names may not hold spaces.
    """
    found: set[str] = set()
    folders: list[str] = []
    for line in filter(str.strip, tree.splitlines()):
        depth = (len(line) - len(line.lstrip())) // 2
        del folders[depth:]
        for word in line.split():
            if not looks_like_a_path(word):
                break
            found.add("".join(folders) + word)
            if word.endswith("/"):
                folders[depth:] = [word]
    return found


def looks_like_a_path(word: str) -> bool:
    bare = {"Makefile", "Dockerfile", "LICENSE", ".gitignore", ".dockerignore", ".ci/run"}
    return word in bare or word.endswith(
        ("/", ".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".example", ".sql")
    )


def tree_on_disk() -> set[str]:
    """Return the package's folders and modules, and the folders and files at the top."""
    ignored = {path.strip("/") for path in (ROOT / ".gitignore").read_text("utf-8").split()}
    hidden = {".git", ".ci", "README.md"} | ignored
    top = {f"{p.name}{'/' * p.is_dir()}" for p in ROOT.iterdir() if p.name not in hidden}
    modules = {str(m.relative_to(ROOT)) for m in MODULES if m.name != "__init__.py"}
    folders = {f"{m.parent.relative_to(ROOT)}/" for m in MODULES}
    return top | modules | folders | {".ci/run"}


def test_tree_in_readme_equals_the_disk() -> None:
    def is_compared(path: str) -> bool:
        return path.startswith("market_pipeline/") or "/" not in path.rstrip("/")

    shown = {path for path in readme_tree() if is_compared(path) or path == ".ci/run"}
    packages = {path for path in shown if path.endswith("__init__.py")}
    assert shown - packages - {"README.md"} == tree_on_disk()


def test_tree_is_read_with_folders_names_and_remarks() -> None:
    tree = "package/       remark\n  a.py b.py    both, and more.\n  inner/\n    c.py\nMakefile\n"
    expected = {"package/", "package/a.py", "package/b.py", "package/inner/"}
    assert paths_in(tree) == expected | {"package/inner/c.py", "Makefile"}
