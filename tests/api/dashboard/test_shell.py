"""The frame of the dashboard in a browser: signing in, going from screen to screen, what no screen may do."""

import pytest

from tests.kit.dashboards import Dashboard, Screen

pytestmark = pytest.mark.slow


def test_a_reader_signs_in_and_comes_where_they_wanted(dashboard: Dashboard) -> None:
    owner = dashboard.engine.owner

    def work(screen: Screen) -> None:
        page = screen.page
        screen.open("/p/demo?period=7d")
        page.wait_for_url("**/login?next=*")
        screen.assert_sound()
        page.fill("input[type=email]", owner["email"])
        page.fill("input[type=password]", "not this one")
        page.keyboard.press("Enter")
        page.wait_for_selector("[role=alert]")
        assert page.input_value("input[type=password]") == ""
        assert page.evaluate("document.activeElement.type") == "password"
        page.fill("input[type=password]", owner["password"])
        page.keyboard.press("Enter")
        page.wait_for_selector(".nav [aria-current=page]")
        assert page.url == f"{screen.url}/p/demo?period=7d"
        assert "Ada's Garden" in page.title()

    dashboard.run(work, signed_in=False)


def test_a_next_that_leads_elsewhere_is_not_followed(dashboard: Dashboard) -> None:
    wanted = ["/p/demo?a=1", "//evil.example/", "/\\evil.example", "https://evil.example/", "javascript:1",
              "/v1/profiles", "/nowhere", ""]  # fmt: skip

    def work(screen: Screen) -> list[str]:
        screen.open("/login")
        paths: list[str] = screen.page.evaluate(
            """async wanted => {
                const base = document.querySelector('script[type=module]').src.replace('app.js', 'js/');
                const {safePath} = await import(base + 'url.js');
                return wanted.map(safePath);
            }""",
            wanted,
        )
        return paths

    assert dashboard.run(work, signed_in=False) == [wanted[0], *["/"] * 7]


def test_text_never_becomes_markup(dashboard: Dashboard) -> None:
    """The policy stops what a module might try, and dom.js refuses what could lead to it."""

    def work(screen: Screen) -> dict[str, str]:
        screen.open("/profiles")
        found: dict[str, str] = screen.page.evaluate("""async () => {
            const base = document.querySelector('script[type=module]').src.replace('app.js', 'js/');
            const {h, svg} = await import(base + 'dom.js');
            const tried = work => { try { return String(work()); } catch (error) { return error.name; } };
            return {
                markup: tried(() => { document.createElement('p').innerHTML = '<b>x</b>'; return 'made'; }),
                script: tried(() => { eval('1'); return 'ran'; }),
                style: tried(() => h('p', {style: 'color: red'})),
                srcdoc: tried(() => h('iframe', {srcdoc: '<p>'})),
                scheme: String(h('a', {href: ' javascript:alert(1)'}).getAttribute('href')),
                spaced: String(h('a', {href: 'java\\nscript:alert(1)'}).getAttribute('href')),
                data: String(h('a', {href: 'data:text/html,x'}).getAttribute('href')),
                within: String(svg('a', {href: 'JAVASCRIPT:alert(1)'}).getAttribute('href')),
                text: h('p', {}, '<img src=x onerror=alert(1)>').childElementCount + '',
            };
        }""")
        screen.faults.clear()  # the violations that were tried
        return found

    assert dashboard.run(work) == {
        "markup": "TypeError",
        "script": "EvalError",
        "style": "TypeError",
        "srcdoc": "TypeError",
        "scheme": "null",
        "spaced": "null",
        "data": "null",
        "within": "null",
        "text": "0",
    }


def test_what_is_drawn_anew_keeps_the_focus_and_waits_for_a_pressed_pointer(
    dashboard: Dashboard,
) -> None:
    def work(screen: Screen) -> list[str]:
        screen.open("/login")
        page = screen.page
        page.evaluate("""async () => {
            const base = document.querySelector('script[type=module]').src.replace('app.js', 'js/');
            const {h, fill, whenFree} = await import(base + 'dom.js');
            const place = h('div'), said = [];
            const one = text => h('button', {id: text, onclick: () => said.push(text)}, text);
            const draw = () => fill(place, ['a', 'b'].map(one));
            document.body.append(place);
            draw();
            Object.assign(window, {place, said, draw, later: () => whenFree(draw)});
        }""")
        page.focus("#b")
        page.evaluate("draw()")
        assert page.evaluate("document.activeElement.textContent") == "b"
        page.hover("#a")
        page.mouse.down()
        page.evaluate("later()")
        page.mouse.up()
        said: list[str] = page.evaluate("said")
        return said

    assert dashboard.run(work, signed_in=False) == ["a"]


def test_a_reader_goes_everywhere_by_keyboard_alone(dashboard: Dashboard) -> None:
    owner = dashboard.engine.owner

    def work(screen: Screen) -> None:
        page, keyboard = screen.page, screen.page.keyboard
        screen.open("/login?next=/p/demo")
        keyboard.type(owner["email"])
        keyboard.press("Tab")
        keyboard.type(owner["password"])
        keyboard.press("Enter")
        page.wait_for_selector(".nav [aria-current=page]")
        keyboard.press("g")
        keyboard.press("s")
        page.wait_for_url("**/p/demo/settings")
        page.wait_for_selector("input[name=handle]")
        keyboard.press("Control+k")
        page.wait_for_selector("dialog [role=option]")
        keyboard.type("accou")
        page.wait_for_selector("[role=option][aria-selected=true]:has-text('Account')")
        keyboard.press("Enter")
        page.wait_for_selector("h1:has-text('Account')")
        keyboard.press("?")
        page.wait_for_selector("dialog.keys")
        keyboard.press("Escape")
        page.wait_for_selector("dialog.keys", state="detached")
        keyboard.press("Tab")
        assert page.evaluate("document.activeElement !== document.body")
        screen.assert_sound()

    dashboard.run(work, signed_in=False)


def test_axe_finds_nothing_on_the_screens_of_the_frame(dashboard: Dashboard) -> None:
    def work(screen: Screen) -> dict[str, list[str]]:
        found = {}
        for path in ("/profiles", "/account", "/p/demo/settings", "/login"):
            screen.open(path)
            found[path] = screen.axe_faults()
        return {path: violations for path, violations in found.items() if violations}

    assert dashboard.run(work) == {}
