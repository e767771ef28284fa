// The question that a screen of figures asks: its period, zone and filters, as its URL has them. The names are those of
// GET /v1/…/stats, so a screen's URL, its calls and a command for curl say the same.

import {h} from './dom.js';
import {segments} from './controls.js';
import {value, zone, city, days} from './format.js';
import {href, change} from './url.js';

/** Periods to choose from: value of the parameter, words, interval of the chart. */
export const PERIODS = /** @type {[string, string, string][]} */ ([['day', 'Today', 'hour'], ['7d', '7 d', 'day'], ['30d', '30 d', 'day'], ['365d', '12 m', 'week']]);
const FILTER = /^filter\[(\w+)\](!|~|)$/;
const SIGNS = /** @type {Record<string, string>} */ ({'': '', '!': '[not]', '~': '[contains]'});
const WORDS = /** @type {Record<string, string>} */ ({'': 'is', '!': 'is not', '~': 'contains'});

/**
 * @typedef {object} Filter
 * @property {string} name of the parameter: `filter[country]`, `filter[country]!`
 * @property {string} dimension
 * @property {'' | '!' | '~'} sign is, is not, contains
 * @property {string[]} values
 */

/** Values are separated by commas; one before a blank or behind a backslash is part of its value. @param {string} text */
const valuesOf = text => text.split(/(?<!\\),(?! )/).map(each => each.replaceAll('\\,', ','));
/** @param {string[]} values */
const joined = values => values.map(each => each.replaceAll(/,(?! )/g, '\\,')).join(',');

/** @param {URLSearchParams} query @returns {Filter[]} */
export function filtersOf(query) {
  return [...query].flatMap(([name, text]) => {
    const [, dimension, sign] = FILTER.exec(name) ?? [];
    return dimension ? [{name, dimension, sign: /** @type {any} */ (sign), values: valuesOf(text)}] : [];
  });
}

/** Return the interval of the chart's points for a query. @param {URLSearchParams} query */
export const intervalOf = query => query.get('interval') ?? PERIODS.find(([name]) => name === (query.get('period') ?? '30d'))?.[2] ?? 'day';

/** The parameters of a question without its group. @param {URLSearchParams} query @returns {Record<string, any>} */
export function questionOf(query) {
  /** @type {Record<string, any>} */
  const question = {tz: query.get('tz') ?? zone()};
  if (query.get('from') && query.get('to')) Object.assign(question, {from: query.get('from'), to: query.get('to')});
  else question.period = query.get('period') ?? '30d';
  for (const {dimension, sign, values} of filtersOf(query)) question[`filter[${dimension}]${SIGNS[sign]}`] = values;
  return question;
}

/**
 * Return this screen's URL with a value added to a filter, or taken out of it.
 * @param {string} dimension @param {string | null} one null: unknown @param {'' | '!'} [sign]
 */
export function toggled(dimension, one, sign = '') {
  const name = `filter[${dimension}]${sign}`, query = new URLSearchParams(location.search);
  const values = query.has(name) ? valuesOf(query.get(name) ?? '') : [], text = one ?? '';
  const next = values.includes(text) ? values.filter(each => each !== text) : [...values, text];
  if (text === '' && next.length) return `${href({[name]: null})}${href({[name]: null}).includes('?') ? '&' : '?'}${name}=`;
  return href({[name]: next.length ? joined(next) : null});
}

/** Whether a value is chosen in a filter of the URL. @param {URLSearchParams} query @param {string} dimension @param {string | null} one */
export const isChosen = (query, dimension, one) => query.has(`filter[${dimension}]`) && valuesOf(query.get(`filter[${dimension}]`) ?? '').includes(one ?? '');

/** The choice of period for a top bar. @param {URLSearchParams} query */
export function periodChoice(query) {
  const chosen = query.get('from') ? '' : query.get('period') ?? '30d';
  return segments('Period', PERIODS.map(([name, words]) => [name, words]), chosen, name => change({period: name === '30d' ? null : name, from: null, to: null, interval: null}));
}

/** "1 – 30 Nov · Rome". @param {{from: string, to: string, tz: string}} answer */
export const periodWords = answer => `${days(answer.from, answer.to, answer.tz)} · ${city(answer.tz)}`;

/**
 * The filters of the URL as chips, each with its ×. `nameOf` gives a value's words where format.value() cannot: links.
 * @param {URLSearchParams} query @param {(dimension: string, one: string) => string} [nameOf] @param {...any} rest
 */
export function filterChips(query, nameOf = value, ...rest) {
  const filters = filtersOf(query);
  if (!filters.length && !rest.length) return null;
  return h('div', {class: 'chips', role: 'group', 'aria-label': 'Filters'}, filters.map(({name, dimension, sign, values}) => {
    const words = `${titleOf(dimension)} ${WORDS[sign]} ${values.map(each => nameOf(dimension, each)).join(' or ')}`;
    return h('span', {class: 'chip'}, h('bdi', {}, words), h('button', {type: 'button', 'aria-label': `Remove filter ${words}`, onclick: () => change({[name]: null})}, '×'));
  }), rest);
}

const TITLES = /** @type {Record<string, string>} */ ({os: 'System', utm_source: 'Campaign source', utm_medium: 'Medium', utm_campaign: 'Campaign', utm_term: 'Term', utm_content: 'Content', trigger: 'Reached by', kind: 'Kind'});
/** @param {string} dimension */
export const titleOf = dimension => TITLES[dimension] ?? dimension[0].toUpperCase() + dimension.slice(1).replaceAll('_', ' ');
