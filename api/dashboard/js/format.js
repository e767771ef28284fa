// Numbers, times and names in words, by the browser's Intl. What is not known is a dash, never "undefined".

const LANGUAGE = navigator.languages.find(language => /^en\b/i.test(language)) ?? 'en-GB';
const DASH = '–';
/** The reader's zone. */
export const zone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC';

/** @type {Map<string, any>} */
const formats = new Map();
/** @param {'NumberFormat' | 'DateTimeFormat' | 'DisplayNames' | 'RelativeTimeFormat' | 'ListFormat' | 'PluralRules'} kind @param {any} options */
function intl(kind, options) {
  const key = kind + JSON.stringify(options);
  if (!formats.has(key)) formats.set(key, new /** @type {any} */ (Intl)[kind](LANGUAGE, options));
  return formats.get(key);
}
/** @param {any} value */
const known = value => value != null && Number.isFinite(Number(value));

/** @param {any} value @param {number} [digits] at most so many decimals */
export const number = (value, digits = 0) => (known(value) ? intl('NumberFormat', {maximumFractionDigits: digits}).format(value) : DASH);
/** 1.2k, 3M: for axes and small places. @param {any} value */
export const compact = value => (known(value) ? intl('NumberFormat', {notation: 'compact', maximumFractionDigits: 1}).format(value) : DASH);
/** @param {any} share 0 to 1 @param {number} [digits] */
export const percent = (share, digits = 1) => (known(share) ? intl('NumberFormat', {style: 'percent', minimumFractionDigits: digits, maximumFractionDigits: digits}).format(share) : DASH);
/** +2.1, −0.4, ±0. @param {any} value @param {number} [digits] */
export function signed(value, digits = 1) {
  if (!known(value)) return DASH;
  const rounded = Math.round(Number(value) * 10 ** digits);
  return (rounded > 0 ? '+' : rounded < 0 ? '−' : '±') + number(Math.abs(value), digits);
}
/** @param {any} amount @param {string} currency */
export const money = (amount, currency) => (known(amount) ? intl('NumberFormat', {style: 'currency', currency}).format(amount) : DASH);
/** @param {any} count */
export function bytes(count) {
  if (!known(count)) return DASH;
  const power = Math.min(4, count < 1 ? 0 : Math.floor(Math.log(count) / Math.log(1000)));
  return `${number(count / 1000 ** power, power ? 1 : 0)} ${['B', 'kB', 'MB', 'GB', 'TB'][power]}`;
}
/** "1 link", "2 links". @param {number} count @param {string} one @param {string} [many] */
export const plural = (count, one, many = one + 's') => `${number(count)} ${intl('PluralRules', {}).select(count) === 'one' ? one : many}`;
/** "a, b and c". @param {string[]} items */
export const list = items => intl('ListFormat', {type: 'conjunction'}).format(items);

/** @param {any} time @returns {Date | null} */
const dated = time => {
  const date = time instanceof Date ? time : new Date(time ?? NaN);
  return Number.isNaN(date.getTime()) ? null : date;
};
/** @param {any} options */
const timed = options => (/** @type {any} */ time, /** @type {string} */ tz = zone()) => {
  const date = dated(time);
  return date ? intl('DateTimeFormat', {...options, timeZone: tz}).format(date) : DASH;
};
/** 18 Nov 2026 */
export const day = timed({day: 'numeric', month: 'short', year: 'numeric'});
/** 18 Nov */
export const shortDay = timed({day: 'numeric', month: 'short'});
/** Wednesday, 18 November */
export const longDay = timed({weekday: 'long', day: 'numeric', month: 'long'});
/** Nov 2026 */
export const month = timed({month: 'short', year: 'numeric'});
/** 10:42 */
export const hour = timed({hour: '2-digit', minute: '2-digit', hour12: false});
/** 10:42:07 */
export const clock = timed({hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false});
/** 18 Nov 2026, 10:42 */
export const dateTime = timed({day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit', hour12: false});
/** The days from `from` to before `to`: "1 – 30 Nov". @param {any} from @param {any} to @param {string} [tz] */
export function days(from, to, tz = zone()) {
  const [start, end] = [dated(from), dated(to)];
  if (!start || !end) return DASH;
  return intl('DateTimeFormat', {day: 'numeric', month: 'short', year: 'numeric', timeZone: tz}).formatRange(start, new Date(end.getTime() - 1));
}
/** Rome: a zone by its city. @param {string} [tz] */
export const city = (tz = zone()) => tz.split('/').at(-1)?.replaceAll('_', ' ') ?? tz;

const STEPS = /** @type {[Intl.RelativeTimeFormatUnit, number][]} */ ([['year', 31_557_600], ['month', 2_629_800], ['week', 604_800], ['day', 86_400], ['hour', 3600], ['minute', 60], ['second', 1]]);
/** "3 minutes ago", "in 2 days". @param {any} time @param {number} [now] ms, by the server's clock */
export function relative(time, now = Date.now()) {
  const date = dated(time);
  if (!date) return DASH;
  const s = (date.getTime() - now) / 1000;
  if (Math.abs(s) < 10) return 'just now';
  const [unit, length] = STEPS.find(([, size]) => Math.abs(s) >= size) ?? STEPS[6];
  return intl('RelativeTimeFormat', {numeric: 'auto'}).format(Math.trunc(s / length), unit);
}
/** 4 min, 2 h 5 min, 340 ms. @param {any} s seconds */
export function duration(s) {
  if (!known(s)) return DASH;
  if (s < 1) return `${number(s * 1000)} ms`;
  if (s < 60) return `${number(s, s < 10 ? 1 : 0)} s`;
  const minutes = Math.round(s / 60), hours = Math.floor(minutes / 60);
  if (minutes < 60) return `${minutes} min`;
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.floor(hours / 24)} days`;
}

/** @param {'region' | 'language' | 'currency'} type */
const named = type => (/** @type {any} */ code) => {
  if (!code) return 'Unknown';
  try {
    return intl('DisplayNames', {type}).of(String(code)) ?? String(code);
  } catch {
    return String(code);
  }
};
/** Italy of IT; Unknown of null. */
export const country = named('region');
/** Italian of it. */
export const language = named('language');

const WORDS = /** @type {Record<string, Record<string, string>>} */ ({
  device: {desktop: 'Desktop', phone: 'Phone', tablet: 'Tablet', tv: 'TV', console: 'Console', other: 'Other'},
  trigger: {link: 'Link', page: 'Page', qr: 'QR code'},
  kind: {human: 'People', app: 'Apps', tool: 'Tools', bot: 'Bots', monitor: 'Monitors', preview: 'Previews', prefetch: 'Prefetches', head: 'Header requests'},
});
/**
 * Return the words for a value of a dimension: a country's name, "Direct" for no source.
 * @param {string} dimension @param {any} value
 */
export function value(dimension, value) {
  if (value == null || value === '') return dimension === 'source' || dimension === 'referrer' ? 'Direct' : 'Unknown';
  if (value === '(other)') return 'Other';
  if (dimension === 'country') return country(value);
  if (dimension === 'language') return language(value);
  return WORDS[dimension]?.[value] ?? String(value);
}

/** Return the words of a code such as `not_found`: "Not found". @param {any} code */
export function words(code) {
  const text = String(code ?? '').replaceAll(/[._-]+/g, ' ').trim();
  return text ? text[0].toUpperCase() + text.slice(1) : DASH;
}
