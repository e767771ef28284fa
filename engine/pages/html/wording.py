"""Words, dates and amounts of a page in its own language. Where that is none of ours, words are English."""

from datetime import datetime
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo


class Words(NamedTuple):
    """Words that a page says by itself, in one language.

    `months` and `weekdays` are short. `date` has `{day}`, `{month}` and `{year}`, `amount` has `{amount}` and
    `{currency}`.
    """

    language: str
    months: tuple[str, ...]
    weekdays: tuple[str, ...]
    date: str
    thousands: str
    decimal: str
    amount: str
    elsewhere: str
    add_to_calendar: str
    save_contact: str
    buy: str
    as_of: str
    archived: str
    until: str
    plays_at: str
    questions: str
    contact: str
    qr: str
    email: str
    subscribe: str
    no_cookies: str
    report: str


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_EN: Final = Words(
    "en", _split("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"), _split("Mon Tue Wed Thu Fri Sat Sun"),
    "{day} {month} {year}", ",", ".", "{currency}{amount}", "Elsewhere", "Add to calendar", "Save contact",
    "Buy", "as of", "archived", "until", "Plays at {host}", "Questions", "Contact",
    "QR code of this page", "E-mail address", "Subscribe", "counted without cookies", "Report",
)  # fmt: skip
WORDS: Final[dict[str, Words]] = {
    "en": _EN,
    "de": Words(
        "de", _split("Jan. Feb. März Apr. Mai Juni Juli Aug. Sept. Okt. Nov. Dez."),
        _split("Mo Di Mi Do Fr Sa So"), "{day}. {month} {year}", ".", ",", "{amount} {currency}", "Anderswo",
        "In den Kalender", "Kontakt sichern", "Kaufen", "Stand", "archiviert", "bis",
        "Läuft auf {host}", "Fragen", "Kontakt", "QR-Code dieser Seite", "E-Mail-Adresse", "Abonnieren",
        "ohne Cookies gezählt", "Melden",
    ),
    "fr": Words(
        "fr", _split("janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc."),
        _split("lun. mar. mer. jeu. ven. sam. dim."), "{day} {month} {year}", "\u202f", ",",
        "{amount}\u00a0{currency}", "Ailleurs", "Ajouter à l’agenda", "Enregistrer le contact", "Acheter",
        "état du", "archivé", "jusqu’au", "À voir sur {host}", "Questions", "Contact",
        "Code QR de cette page", "Adresse e-mail", "S’abonner", "compté sans cookies", "Signaler",

    ),
    "it": Words(
        "it", _split("gen feb mar apr mag giu lug ago set ott nov dic"),
        _split("lun mar mer gio ven sab dom"), "{day} {month} {year}", ".", ",", "{amount}\u00a0{currency}",
        "Altrove", "Aggiungi al calendario", "Salva contatto", "Acquista", "al", "archiviato",
        "fino al", "Si apre su {host}", "Domande", "Contatto", "Codice QR di questa pagina",
        "Indirizzo e-mail", "Iscriviti", "contato senza cookie", "Segnala",
    ),
    "es": Words(
        "es", _split("ene feb mar abr may jun jul ago sep oct nov dic"),
        _split("lun mar mié jue vie sáb dom"), "{day} {month} {year}", ".", ",", "{amount}\u00a0{currency}",
        "En otros sitios", "Añadir al calendario", "Guardar contacto", "Comprar", "a",
        "archivado", "hasta el", "Se ve en {host}", "Preguntas", "Contacto", "Código QR de esta página",
        "Correo electrónico", "Suscribirse", "contado sin cookies", "Denunciar",
    ),
    "pt": Words(
        "pt", _split("jan. fev. mar. abr. mai. jun. jul. ago. set. out. nov. dez."),
        _split("seg. ter. qua. qui. sex. sáb. dom."), "{day} {month} {year}", ".", ",",
        "{amount}\u00a0{currency}", "Noutros sítios", "Adicionar ao calendário", "Guardar contacto",
        "Comprar", "em", "arquivado", "até", "Abre em {host}", "Perguntas", "Contacto",
        "Código QR desta página", "Endereço de e-mail", "Subscrever", "contado sem cookies", "Denunciar",

    ),
    "nl": Words(
        "nl", _split("jan. feb. mrt. apr. mei jun. jul. aug. sep. okt. nov. dec."),
        _split("ma di wo do vr za zo"), "{day} {month} {year}", ".", ",", "{currency}\u00a0{amount}",
        "Elders", "Zet in agenda", "Contact opslaan", "Kopen", "op", "gearchiveerd", "tot",
        "Speelt op {host}", "Vragen", "Contact", "QR-code van deze pagina", "E-mailadres", "Aanmelden",
        "geteld zonder cookies", "Melden",
    ),
}  # fmt: skip
_SYMBOLS: Final = {
    "EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "CNY": "¥", "INR": "₹", "KRW": "₩", "BRL": "R$",
    "CHF": "CHF\u00a0", "PLN": "zł", "CZK": "Kč", "TRY": "₺", "UAH": "₴", "ILS": "₪", "VND": "₫",
}  # fmt: skip
_RTL: Final = frozenset({"ar", "arc", "ckb", "dv", "fa", "he", "ku", "ps", "sd", "ug", "ur", "yi"})


def words_of(language: str) -> Words:
    """Return the words of a language (BCP 47), English for one that we do not speak."""
    return WORDS.get(language.lower().partition("-")[0], _EN)


def direction_of(language: str) -> str:
    """Return the direction in which the language is written, as HTML names it."""
    return "rtl" if language.lower().partition("-")[0] in _RTL else "ltr"


def whole_number(number: int, words: Words) -> str:
    """Return a number with its thousands apart: `1,284`."""
    return f"{number:,}".replace(",", words.thousands)


def amount(price: str, currency: str, words: Words) -> str:
    """Return a price with its currency: `€4.50`."""
    whole, _, part = price.partition(".")
    number = whole_number(int(whole), words) if whole.isdecimal() else whole
    number += words.decimal + part if part else ""
    symbol = _SYMBOLS.get(currency, f"{currency}\u00a0" if currency else "")
    return words.amount.format(amount=number, currency=symbol).strip()


def date(time: datetime, words: Words) -> str:
    """Return the day of a time: `6 Dec 2026`."""
    return words.date.format(day=time.day, month=words.months[time.month - 1], year=time.year)


def span(starts_at: datetime, ends_at: datetime | None, words: Words) -> str:
    """Return when something takes place, in the zone of its times: `Sun 6 Dec 2026, 10:00–17:00`."""
    text = _weekday(starts_at, words) + f", {starts_at:%H:%M}"
    if ends_at is None:
        return text
    if ends_at.date() == starts_at.date():
        return f"{text}\u2060–\u2060{ends_at:%H:%M}"  # no line ends there
    return f"{text} – {_weekday(ends_at, words)}, {ends_at:%H:%M}"


def _weekday(time: datetime, words: Words) -> str:
    return f"{words.weekdays[time.weekday()]} {date(time, words)}"


def in_zone(time: datetime, zone: str) -> datetime:
    """Return the time as clocks of the zone show it; as it is, if the zone is unknown."""
    try:
        return time.astimezone(ZoneInfo(zone))
    except (KeyError, OSError, ValueError, OverflowError):
        return time


def zone_name(zone: str) -> str:
    """Return the name of a zone's city, as readers write it: `New York`."""
    return zone.rpartition("/")[2].replace("_", " ")


def clock(seconds: int) -> str:
    """Return a length: `12:04`, or `1:02:03`."""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
