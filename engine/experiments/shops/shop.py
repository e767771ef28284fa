"""The shops whose requests a conversion hook understands, by name."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple, get_args

from engine.experiments.shops import gumroad, paddle, shop_signature, shopify, stripe, woocommerce
from engine.experiments.shops.shop_report import ShopReport
from engine.experiments.shops.shop_signature import SignatureScheme

ShopName = Literal["custom", "gumroad", "paddle", "shopify", "stripe", "woocommerce"]
SHOP_NAMES: Final[tuple[str, ...]] = get_args(ShopName)


class Shop(NamedTuple):
    """A known shop.

    `read` returns the report of a body; `signature` is None for a shop that signs nothing; `events` are those
    to subscribe to; `click_ids` are the paths at which it may send the click id; `sample` is a body in which
    `WP_CLICK` stands for a click id, sent as a form if `is_form`; `is_ping` recognises bodies that the shop
    does not sign and that report nothing.
    """

    read: Callable[[Any], ShopReport]
    signature: SignatureScheme | None
    events: tuple[str, ...]
    click_ids: tuple[str, ...]
    sample: Mapping[str, Any]
    is_form: bool = False
    is_ping: Callable[[Any], bool] | None = None


SHOPS: Final[Mapping[str, Shop]] = {
    "gumroad": Shop(
        gumroad.read, None, gumroad.EVENTS, gumroad.CLICK_IDS, gumroad.SAMPLE, is_form=True
    ),
    "paddle": Shop(
        paddle.read, shop_signature.PADDLE, paddle.EVENTS, paddle.CLICK_IDS, paddle.SAMPLE
    ),
    "shopify": Shop(
        shopify.read, shop_signature.SHOPIFY, shopify.EVENTS, shopify.CLICK_IDS, shopify.SAMPLE
    ),
    "stripe": Shop(
        stripe.read, shop_signature.STRIPE, stripe.EVENTS, stripe.CLICK_IDS, stripe.SAMPLE
    ),
    "woocommerce": Shop(
        woocommerce.read, shop_signature.WOOCOMMERCE, woocommerce.EVENTS, woocommerce.CLICK_IDS,
        woocommerce.SAMPLE, is_ping=woocommerce.is_ping,
    ),
}  # fmt: skip
