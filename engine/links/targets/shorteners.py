"""Known shorteners: hosts whose addresses lead elsewhere, so that what a link to one leads to can change later.

The table is of 2026-11: public services that anybody can make short addresses at, and the short hosts of large
sites. A host stands for its subdomains, too.
"""

from typing import Final

_NAMES: Final = """
    adf.ly amzn.eu amzn.to app.link appsto.re b.link b23.tv bc.vc bit.do bit.ly bitly.com bl.ink bom.so
    branch.link buff.ly bytl.fr chilp.it clck.ru cli.gs cutt.ly cutt.us db.tt dlvr.it dub.co dub.sh
    ebay.us ed.gr fb.me fb.watch flip.it fw.to g.co gg.gg git.io go.ly goo.gl goo.su hyperurl.co hubs.la
    hubs.li hubs.ly ibit.ly ift.tt instagr.am is.gd ity.im j.mp kutt.it kutt.to l.ead.me linklick.ir
    lnk.bio lnk.to lnkd.in mcaf.ee msft.it n9.cl ow.ly ouo.io ouo.press owl.ly page.link past.is pin.it
    plu.sh po.st ppt.cc prf.hn q.gs qr.ae qr.net qr.page qrco.de rb.gy rdr.to rebrand.ly reurl.cc s.id
    s2r.co sco.lt short.cm short.gy short.io shorte.st shorter.me shorturl.asia shorturl.at shorturl.gg
    shrtco.de smarturl.it smsg.us sn.im snip.ly snipurl.com soo.gd spoti.fi sqrl.in su.pr surl.li t.co
    t.ly t.me.link t2m.io t2mio.com tcrn.ch tiny.cc tiny.one tiny.pl tinyurl.com tny.im to.ly tr.im
    trib.al tweez.me u.to urlr.me urlz.fr v.gd v.ht vk.cc vzturl.com w.wiki wa.link wp.me x.co x.gd
    xurl.es y2u.be yourls.org youtu.be.link yhoo.it zpr.io zws.im
"""
SHORTENERS: Final = frozenset(_NAMES.split())


def shortener_of(host: str) -> str | None:
    """Return the shortener that a URL's host belongs to, None for any other host."""
    labels = host.rstrip(".").split(".")
    for first in range(len(labels) - 1):
        if (name := ".".join(labels[first:])) in SHORTENERS:
            return name
    return None
