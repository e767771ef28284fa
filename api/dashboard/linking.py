"""Linker: each entry module and what it imports as one file, so that a screen takes few requests.

The modules keep to what this file reads: imports and exports are statements of one line at the left margin,
`import {a, b as c} from './x.js';` and `export const|class|function|async function name` (or `function*`),
without circles. A linked module is a function's body that returns its exports. What the first entry, the frame,
has linked is exported by it; later entries import that from it, so there is one instance. Modules beyond the
frame may be in several files, and so keep no state. Comments and indentation are left out, which no template
may need.
"""

import re
from collections.abc import Iterator, Mapping
from posixpath import join, normpath
from typing import Final

_IMPORT: Final = re.compile(r"^import \{([^}]*)\} from '([^']+)';\n", re.MULTILINE)
_EXPORT: Final = re.compile(r"^export ((?:const|class|(?:async )?function\*?) (\w+))", re.MULTILINE)
_OTHER: Final = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)
_DYNAMIC: Final = re.compile(r"\bimport\('\./(\w+)\.js'\)")
_COMMENTS: Final = re.compile(
    r"^[ \t]*/\*\*(?:(?!\*/).)*\*/[ \t]*\n|^[ \t]*//[^\n]*\n|/\*\* @\w+ (?:(?!\*/).)*\*/ ?|^[ \t]+",
    re.MULTILINE | re.DOTALL,
)


class LinkError(Exception):
    """A module that the linker cannot read, or a circle of imports."""


def linked(modules: Mapping[str, str], frame: str, screens: str) -> dict[str, str]:
    """Return the linked files by name: the frame, what is imported later, and each screen that the frame does
    not import.

    `modules` are sources by name. Screens are in the folder `screens` and have no underscore. Raises LinkError.
    """
    linker = _Linker(modules, frame)
    later = linker.imported_later()
    own = {
        name
        for name in modules
        if name.startswith(f"{screens}/") and "_" not in name.rpartition("/")[2]
    }
    beyond = sorted((later | own) - linker.in_frame)
    return {frame: linker.first()} | {name: linker.entry(name) for name in beyond}


class _Linker:
    def __init__(self, modules: Mapping[str, str], frame: str) -> None:
        self._modules = {name: _COMMENTS.sub("", source) for name, source in modules.items()}
        self._frame = frame
        self._in_frame = self._order(frame, frozenset())

    @property
    def in_frame(self) -> set[str]:
        return set(self._in_frame)

    def imported_later(self) -> set[str]:
        return {
            _resolved(name, f"{path}.js")
            for name, source in self._modules.items()
            for path in _DYNAMIC.findall(source)
        }

    def first(self) -> str:
        parts = [self._body(name) for name in self._in_frame]
        names = ", ".join(_variable(name) for name in self._in_frame if name != self._frame)
        return "".join(parts) + f"export {{{names}}};\n"

    def entry(self, name: str) -> str:
        """Return a file that exports what the module `name` exports."""
        order = self._order(name, frozenset(self._in_frame))
        wanted = {
            path for module in order for path in self._imports(module) if path in self._in_frame
        }
        up = "../" * name.count("/") or "./"
        shared = ", ".join(_variable(path) for path in sorted(wanted))
        head = f"import {{{shared}}} from '{up}{self._frame}';\n" if wanted else ""
        exports = ", ".join(self._exports(name))
        last = f"export const {{{exports}}} = {_variable(name)};\n"
        return head + "".join(self._body(module) for module in order) + last

    def _order(self, entry: str, without: frozenset[str]) -> list[str]:
        """Return `entry` and all that it imports, each after what it imports itself."""
        order: list[str] = []
        open_: list[str] = []

        def visit(name: str) -> None:
            if name in order or name in without:
                return
            if name in open_:
                raise LinkError(f"a circle of imports: {' → '.join([*open_, name])}")
            open_.append(name)
            for path in self._imports(name):
                visit(path)
            open_.pop()
            order.append(name)

        visit(entry)
        return order

    def _imports(self, name: str) -> Iterator[str]:
        for match in _IMPORT.finditer(self._source(name)):
            yield _resolved(name, match[2])

    def _exports(self, name: str) -> list[str]:
        return [match[2] for match in _EXPORT.finditer(self._source(name))]

    def _source(self, name: str) -> str:
        if name not in self._modules:
            raise LinkError(f"{name} is imported, and not there")
        return self._modules[name]

    def _body(self, name: str) -> str:
        def bound(match: re.Match[str]) -> str:
            names = match[1].replace(" as ", ": ").strip()
            return f"const {{{names}}} = {_variable(_resolved(name, match[2]))};\n"

        body = _EXPORT.sub(r"\1", _IMPORT.sub(bound, self._source(name)))
        unread = _OTHER.search(body)
        if unread is not None:
            raise LinkError(f"{name}: {unread[0]!r} is no import or export that can be linked")
        exports = ", ".join(self._exports(name))
        return f"const {_variable(name)} = (() => {{\n{body}return {{{exports}}};\n}})();\n"


def _resolved(name: str, path: str) -> str:
    return normpath(join(name.rpartition("/")[0], path))


def _variable(name: str) -> str:
    return "$" + re.sub(r"\W", "_", name.removesuffix(".js"))
