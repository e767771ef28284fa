// What the analytics screen asks: its cards, the questions of their chosen tabs, and rows as bars.

import {number, value} from '../format.js';
import {filtersOf, intervalOf, isChosen, questionOf, toggled} from '../period.js';
import {METRICS} from './overview_figures.js';

export const BARS = 8;
/** Cards of bars: name, title, and dimensions with the words of their tabs. The first is shown unless `tab` names another. */
export const CARDS = /** @type {{name: string, title: string, tabs: [string, string][]}[]} */ ([
  {name: 'links', title: 'Links', tabs: [['link', 'Links'], ['domain', 'Domains'], ['trigger', 'Reached by']]},
  {name: 'from', title: 'Where from', tabs: [['source', 'Sources'], ['referrer', 'Referrers'], ['utm_campaign', 'Campaigns'], ['utm_medium', 'Media'], ['utm_term', 'Terms']]},
  {name: 'places', title: 'Places', tabs: [['country', 'Countries'], ['region', 'Regions'], ['city', 'Cities'], ['continent', 'Continents']]},
  {name: 'with', title: 'With what', tabs: [['device', 'Devices'], ['browser', 'Browsers'], ['os', 'Systems']]},
  {name: 'who', title: 'Languages', tabs: [['language', 'Languages'], ['variant', 'Variants'], ['event', 'Own events']]},
]);
/** Plural words of each dimension, as its tab has them. */
export const PLURALS = Object.fromEntries(CARDS.flatMap(card => card.tabs));

/** @param {URLSearchParams} query */
export const metricOf = query => METRICS.find(each => each.name === query.get('metric')) ?? METRICS[0];

/** The dimension that a card shows. @param {URLSearchParams} query @param {any} card @returns {string} */
export function shownOf(query, card) {
  const chosen = (query.get('tab') ?? '').split(',');
  return (card.tabs.find((/** @type {[string, string]} */ [dimension]) => chosen.includes(dimension)) ?? card.tabs[0])[0];
}

/** The value of `tab` once a card shows a dimension. @param {URLSearchParams} query @param {any} card @param {string} dimension */
export function tabsWith(query, card, dimension) {
  const others = CARDS.filter(each => each !== card).map(each => shownOf(query, each));
  return [...others, dimension].filter(each => CARDS.every(one => one.tabs[0][0] !== each)).join(',') || null;
}

/**
 * The question of a card, without the filters of its own dimension: all of its values are shown, and which of them count.
 * @param {URLSearchParams} query @param {string} dimension
 */
export function groupQuestion(query, dimension, limit = BARS) {
  const question = withoutOwn(questionOf(query), dimension);
  if (dimension === 'event') return {...question, group: 'event', limit, compare: 'previous'};
  const metric = metricOf(query).name;
  return {...question, group: dimension, metrics: metric === 'clicks' ? 'clicks' : `clicks,${metric}`, order: `-${metric}`, limit, compare: 'previous'};
}

/** @param {Record<string, any>} question @param {string} dimension */
const withoutOwn = (question, dimension) => Object.fromEntries(Object.entries(question).filter(([name]) => !name.startsWith(`filter[${dimension}]`)));

/**
 * All questions by name, in the order in which they are asked. @param {URLSearchParams} query @returns {[string, Record<string, any>][]}
 */
export function questions(query) {
  const base = questionOf(query), metric = metricOf(query).name, counted = metric === 'click_rate' ? 'clicks' : metric;
  return [
    ['total', {...base, interval: intervalOf(query), compare: query.get('compare') ?? 'previous'}],
    ...CARDS.map(card => /** @type {[string, Record<string, any>]} */ ([card.name, groupQuestion(query, shownOf(query, card))])),
    ['hours', {...base, group: 'hour_of_week', metrics: counted === 'visitors' ? 'clicks' : counted}],
    ['days', {...base, group: 'time,device', interval: 'day', metrics: counted, limit: 4}],
    ['kept', {...withoutOwn(base, 'kind'), group: 'kind', metrics: 'bots', order: '-bots', limit: BARS}],
  ];
}

/** The parameters of a question as those of an address. @param {Record<string, any>} question */
export function searchOf(question) {
  const search = new URLSearchParams();
  for (const [name, given] of Object.entries(question)) {
    search.set(name, Array.isArray(given) ? given.map(one => String(one).replaceAll(/,(?! )/g, '\\,')).join(',') : String(given));
  }
  return search;
}

/**
 * The rows of a card's answer as bars, with what a filter leaves out at the end.
 * @param {URLSearchParams} query @param {string} dimension @param {any} answer
 * @returns {import('../figures.js').Bar[]}
 */
export function barsOf(query, dimension, answer) {
  const metric = dimension === 'event' ? 'events' : metricOf(query).name, before = answer.previous?.rows;
  const own = filtersOf(query).filter(filter => filter.dimension === dimension), only = own.some(filter => filter.sign === '');
  const left = new Set(own.filter(filter => filter.sign === '!').flatMap(filter => filter.values));
  const bars = answer.rows.map((/** @type {any} */ row, /** @type {number} */ i) => {
    const one = row[dimension], was = before?.[i]?.[metric], out = left.has(one ?? '');
    const state = out ? 'out' : isChosen(query, dimension, one) ? 'chosen' : only ? 'off' : '';
    const bar = {value: row[metric] ?? 0, change: was ? (row[metric] / was - 1) * 100 : null, href: dimension === 'event' ? null : () => toggled(dimension, one, out ? '!' : ''), state};
    return {...bar, ...words(dimension, row)};
  });
  // A value without any is there for another metric's sake.
  return [...bars.filter((/** @type {any} */ bar) => bar.state !== 'out' && (bar.value || bar.state === 'chosen')), ...bars.filter((/** @type {any} */ bar) => bar.state === 'out')];
}

/** @param {string} dimension @param {any} row */
export function words(dimension, row) {
  if (dimension === 'link') return {text: row.link === '0' ? 'The page itself' : row.title || row.slug || 'A deleted link', sub: row.slug ? `/${row.slug}` : undefined};
  return {text: value(dimension, row[dimension]), sub: dimension === 'country' && row.country ? row.country : undefined};
}

/** Every value's number in digits. @param {any} metric @param {any} one */
export const shown = (metric, one) => (metric.name === 'click_rate' ? number(one, 2) : number(one));
