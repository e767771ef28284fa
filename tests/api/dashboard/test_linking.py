"""Linked modules do what the modules do, each loaded once."""

import pytest

from api.dashboard.linking import LinkError, linked

MODULES = {
    "app.js": """import {a, b as c} from './one.js';
// a note
/** @typedef {import('./zero.js').Nothing} Nothing */
export const start = () => import('./late.js');
c(a);
""",
    "one.js": """import {zero} from './zero.js';
/** @type {number} */
export const a = zero;
export function b() {
  /** @type {any} */ (a).x = 1;
}
/** A last note */
""",
    "zero.js": "export const zero = 0;\n",
    "late.js": "import {zero} from './zero.js';\nexport class Late { zero = zero; }\n",
    "screens/s.js": """import {a} from '../one.js';
import {part} from './s_part.js';
export const show = () => part(a);
""",
    "screens/s_part.js": "import {own} from '../own.js';\nexport const part = own;\n",
    "own.js": "export const own = /** @type {any} */ (String);\n",
}


def test_a_module_comes_after_what_it_imports_and_each_once() -> None:
    app = linked(MODULES, "app.js", "screens")["app.js"]
    assert app.index("const $zero =") < app.index("const $one =") < app.index("const $app =")
    assert app.count("const zero = 0;") == 1
    assert "const {a, b: c} = $one;" in app
    assert "return {a, b};" in app
    assert app.endswith("export {$zero, $one};\n")


def test_a_later_module_shares_the_frame_s_and_brings_its_own() -> None:
    files = linked(MODULES, "app.js", "screens")
    assert set(files) == {"app.js", "late.js", "screens/s.js"}
    screen = files["screens/s.js"]
    assert screen.startswith("import {$one} from '../app.js';\nconst $own = ")
    assert "const zero" not in screen
    assert screen.endswith("export const {show} = $screens_s;\n")
    assert files["late.js"].startswith("import {$zero} from './app.js';\n")


def test_a_screen_s_later_module_stands_beside_it() -> None:
    late = {
        "screens/s.js": "export const show = () => import('./s_late.js');\n",
        "screens/s_late.js": "import {zero} from '../zero.js';\nexport const late = zero;\n",
    }
    files = linked(MODULES | late, "app.js", "screens")
    assert files["screens/s_late.js"].startswith("import {$zero} from '../app.js';\n")
    assert "import('./s_late.js')" in files["screens/s.js"]


def test_a_screen_that_the_frame_imports_is_in_it_alone() -> None:
    frame = {"app.js": "import {show} from './screens/s.js';\nexport const start = show;\n"}
    files = linked(MODULES | frame, "app.js", "screens")
    assert set(files) == {"app.js"}
    assert "const $screens_s =" in files["app.js"]


def test_comments_are_left_out() -> None:
    text = "".join(linked(MODULES, "app.js", "screens").values())
    assert "note" not in text
    assert "@type" not in text
    assert "(a).x = 1;\n}" in text


@pytest.mark.parametrize(
    ("name", "source", "words"),
    [
        ("zero.js", "import {a} from './one.js';\nexport const zero = 0;\n", "circle"),
        ("one.js", "export default 1;\n", "default"),
        ("one.js", "export {a};\n", "export"),
        ("one.js", "import * as x from './zero.js';\n", "import"),
        ("one.js", "export let a = 1;\n", "let"),
        ("one.js", "import {x} from './no.js';\n", "no.js"),
    ],
)
def test_what_cannot_be_linked_is_named(name: str, source: str, words: str) -> None:
    with pytest.raises(LinkError, match=words):
        linked(MODULES | {name: source}, "app.js", "screens")
