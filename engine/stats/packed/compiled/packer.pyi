from engine.clicks.day_rows import DayRows
from engine.stats.packed.click_packer import ValueTexts
from engine.stats.packed.packed_clicks import PackedClicks

SOURCES: str

def pack_day(day: DayRows, texts: ValueTexts) -> PackedClicks: ...
