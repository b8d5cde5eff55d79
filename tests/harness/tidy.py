"""What a machine can check of how the code reads. Each check takes a parsed module and returns one line per finding.

The checks know nothing of files, so that every one can be shown to fail on a bad snippet.
"""

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

PACKAGES = ("node", "ledger", "wasp", "market")
MODULE_LINES_MAX = 400
"""The aim is 350: a module is read in one sitting."""
FUNCTION_LINES_MAX = 60
"""The aim is 50: a function is read on one screen."""
STEPPING = frozenset({"handle_input", "handle_message", "handle_timer"})
EMPTY_WORDS = frozenset({"utils", "util", "common", "helpers", "helper", "base", "manager", "managers", "misc"})
EMPTY_VERBS = ("get_", "do_", "process_", "manage_")

Check = Callable[[str, ast.Module], list[str]]


def dropped_steps(name: str, module: ast.Module) -> list[str]:
    """A step is never dropped: no call of a handler stands alone as a statement."""
    return [
        f"{name}:{statement.lineno}: the step of {statement.value.func.attr} is dropped"
        for statement in ast.walk(module)
        if isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Call)
        and isinstance(statement.value.func, ast.Attribute)
        and statement.value.func.attr in STEPPING
    ]


def relative_imports(name: str, module: ast.Module) -> list[str]:
    """An import names its floor."""
    return [
        f"{name}:{node.lineno}: a relative import"
        for node in ast.walk(module)
        if isinstance(node, ast.ImportFrom) and node.level > 0
    ]


def logic_in_package_files(name: str, module: ast.Module) -> list[str]:
    """An ``__init__.py`` holds its docstring and nothing else."""
    if PurePosixPath(name).name != "__init__.py":
        return []
    return [f"{name}:{statement.lineno}: more than a docstring" for statement in module.body if not is_text(statement)]


def is_text(statement: ast.stmt) -> bool:
    """Whether the statement is a string and nothing else."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def missing_docstrings(name: str, module: ast.Module) -> list[str]:
    """Every module says what it is."""
    return [] if ast.get_docstring(module) else [f"{name}:1: no docstring"]


def empty_module_names(name: str, module: ast.Module) -> list[str]:
    """A module is named by what is in it."""
    parts = PurePosixPath(name).with_suffix("").parts
    return [f"{name}:1: {part!r} says nothing" for part in parts if part in EMPTY_WORDS]


def empty_function_names(name: str, module: ast.Module) -> list[str]:
    """A function is named by what it returns, or by what it does."""
    return [
        f"{name}:{node.lineno}: {node.name!r} says nothing"
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.lstrip("_").startswith(EMPTY_VERBS)
    ]


def long_functions(name: str, module: ast.Module) -> list[str]:
    """A function fits on a screen."""
    return [
        f"{name}:{node.lineno}: {node.name} has {lines} lines, at most {FUNCTION_LINES_MAX} expected"
        for node in ast.walk(module)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]


def unordered_iteration(name: str, module: ast.Module) -> list[str]:
    """Order is a decision: a set is sorted before anything is made of its items one by one."""
    return [f"{name}:{source.lineno}: the order of a set" for source in sources_of_items(module) if is_set(source)]


def sources_of_items(module: ast.Module) -> Iterator[ast.expr]:
    """Every expression whose items are taken in its own order."""
    for node in ast.walk(module):
        match node:
            case ast.For() | ast.AsyncFor() | ast.comprehension():
                yield node.iter
            case ast.Starred():
                yield node.value
            case ast.Call(func=ast.Name(id="list" | "tuple" | "enumerate" | "iter" | "zip" | "map"), args=arguments):
                yield from arguments
            case ast.Call(func=ast.Attribute(attr="join" | "extend" | "fromkeys"), args=[first, *_]):
                yield first
            case _:
                pass


def is_set(expression: ast.expr) -> bool:
    """Whether the expression is written as a set."""
    match expression:
        case ast.Set() | ast.SetComp() | ast.Call(func=ast.Name(id="set" | "frozenset")):
            return True
        case ast.BinOp(left=left, op=ast.BitAnd() | ast.BitOr() | ast.Sub() | ast.BitXor(), right=right):
            return is_set(left) or is_set(right)
        case _:
            return False


CHECKS: tuple[Check, ...] = (
    dropped_steps,
    relative_imports,
    logic_in_package_files,
    missing_docstrings,
    empty_module_names,
    empty_function_names,
    long_functions,
    unordered_iteration,
)


def long_modules(texts: Iterable[tuple[str, str]]) -> list[str]:
    """A module is read in one sitting."""
    return [
        f"{name}: {lines} lines, at most {MODULE_LINES_MAX} expected"
        for name, text in texts
        if (lines := text.count("\n")) > MODULE_LINES_MAX
    ]


def repeated_value_names(modules: Iterable[tuple[str, ast.Module]]) -> list[str]:
    """All messages meet in one codec, where a class name is the tag: no two subclasses of ``Value`` share one."""
    classes = [
        (node.name, frozenset(base_name(base) for base in node.bases), f"{name}:{node.lineno}")
        for name, module in modules
        for node in ast.walk(module)
        if isinstance(node, ast.ClassDef)
    ]
    kinds = {"Value"}
    while grown := {name for name, bases, _ in classes if bases & kinds} - kinds:
        kinds |= grown
    places: dict[str, list[str]] = {}
    for name, bases, place in classes:
        if bases & kinds:
            places.setdefault(name, []).append(place)
    return [f"{name} is defined at {' and '.join(found)}" for name, found in places.items() if len(found) > 1]


def base_name(base: ast.expr) -> str:
    """``Value`` for ``Value``, ``encoding.Value`` and ``Value[T]``."""
    match base:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(value=value):
            return base_name(value)
        case _:
            return ""


CHECKOUT = Path(__file__).resolve().parents[2]
MACHINE_PATH = re.compile(rf"(?<![\w.$}}~])(?:/root|/home/\w+|/Users/\w+|{re.escape(str(CHECKOUT))})(?:/|\b)")
"""Home folders, and wherever this checkout happens to be."""


def machine_paths(name: str, text: str) -> list[str]:
    """The tree holds for every machine: it names no folder of the one that it was written on."""
    return [
        f"{name}:{number}: {found[0]}"
        for number, line in enumerate(text.splitlines(), 1)
        if (found := MACHINE_PATH.search(line))
    ]


ADDRESS = re.compile(r"https?://|file:|--(?:extra-)?index-url|--find-links|--trusted-host")


def addresses(text: str) -> list[str]:
    """A lock names versions and hashes; where the files come from is the business of whoever installs them."""
    return [f"line {number}: {line}" for number, line in enumerate(text.splitlines(), 1) if ADDRESS.search(line)]
