"""The public names: one table, the same for the interpreter and for type checkers."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from pathlib import Path

import pytest

import voxwire

PACKAGE = Path(voxwire.__file__).parent
HOME: dict[str, str] = voxwire._HOME


def modules() -> list[str]:
    return [info.name for info in pkgutil.walk_packages(voxwire.__path__, "voxwire.")]


def type_checkers_view() -> dict[str, str]:
    """Name -> module, as the `if TYPE_CHECKING` block imports them."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    blocks = [
        node.body
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    assert len(blocks) == 1
    seen: dict[str, str] = {}
    for statement in blocks[0]:
        assert isinstance(statement, ast.ImportFrom)
        assert statement.level == 1
        for alias in statement.names:
            assert alias.asname == alias.name, (
                f"write `{alias.name} as {alias.name}`: that is what exports it"
            )
            assert statement.module is not None
            seen[alias.name] = statement.module
    return seen


@pytest.mark.parametrize("name", HOME)
def test_name_resolves(name: str) -> None:
    home = importlib.import_module(f"voxwire.{HOME[name]}")
    assert getattr(voxwire, name) is getattr(home, name)
    assert name in home.__all__, f"{name} is public in voxwire and not in {home.__name__}"


def test_type_checkers_see_the_same_names() -> None:
    assert type_checkers_view() == HOME


def test_all_and_dir() -> None:
    assert set(voxwire.__all__) == {"__version__", *HOME}
    assert set(voxwire.__all__) <= set(dir(voxwire))
    assert voxwire.__version__.count(".") == 2


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'voxwire' has no attribute 'RealtimeAgnt'"):
        _ = voxwire.RealtimeAgnt


@pytest.mark.parametrize("name", ["audio", "server", "server.sip", "testing"])
def test_a_package_imports_its_names_when_they_are_used(name: str) -> None:
    package = importlib.import_module(f"voxwire.{name}")
    assert set(package.__all__) <= set(dir(package))
    for public in package.__all__:
        assert getattr(package, public) is not None
    with pytest.raises(AttributeError, match=f"module 'voxwire.{name}' has no attribute 'Nothing'"):
        _ = package.Nothing


def test_no_name_hides_a_module() -> None:
    """Importing a submodule sets it as an attribute of the package, over a function of the same name."""
    clashes = {info.name for info in pkgutil.iter_modules(voxwire.__path__)} & HOME.keys()
    assert not clashes, f"{clashes} name both a module and a public object: rename the modules"


@pytest.mark.parametrize("name", modules())
def test_module_names_its_public_objects(name: str) -> None:
    path = Path(*name.split(".")[1:])
    file = (
        PACKAGE / path / "__init__.py" if (PACKAGE / path).is_dir() else (PACKAGE / path).with_suffix(".py")
    )
    tree = ast.parse(file.read_text(encoding="utf-8"))
    if not any(isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef) for node in tree.body):
        return  # a package's docstring, a version
    assigned = {
        target.id
        for node in tree.body
        for target in (
            node.targets
            if isinstance(node, ast.Assign)
            else [node.target]
            if isinstance(node, ast.AnnAssign)
            else []
        )
        if isinstance(target, ast.Name)
    }
    assert "__all__" in assigned
