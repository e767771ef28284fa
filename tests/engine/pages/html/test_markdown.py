"""Markdown: the subset that members have."""

import pytest

from engine.pages.html.markdown import markdown


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a *b* **c**", "<p>a <em>b</em> <strong>c</strong></p>"),
        ("a\nb\n\nc", "<p>a<br>\nb</p>\n<p>c</p>"),
        ("- a\n- b", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>"),
        ("3. a\n4. b", '<ol start="3">\n<li>a</li>\n<li>b</li>\n</ol>'),
        ("[a](https://b.example)", '<p><a href="https://b.example" rel="nofollow noopener">a</a></p>'),
        ("<b>a</b> & c", "<p>&lt;b&gt;a&lt;/b&gt; &amp; c</p>"),
        ("# a", "<p># a</p>"),
        ("![a](tel:+39)", '<p>!<a href="tel:+39" rel="nofollow noopener">a</a></p>'),
        ("[a](javascript:alert)", "<p>[a](javascript:alert)</p>"),
        ("`a`", "<p>`a`</p>"),
        ("\ud800", "<p>?</p>"),
    ],
)  # fmt: skip
def test_the_subset(text: str, html: str) -> None:
    assert markdown(text) == html
