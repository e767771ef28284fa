// Tables of conversions: by a dimension, each row a filter, and the newest ones with their orders.

import {h, icon, typed} from '../dom.js';
import {ago} from '../clock.js';
import {tag} from '../controls.js';
import {dateTime, list, money, number, percent, plural, words} from '../format.js';
import {table} from '../table.js';
import {isChosen, toggled} from '../period.js';
import {pathOf} from '../url.js';

/** @param {any} row @param {string | null} currency */
const amountOf = (row, currency) => (currency ? Number(row.revenue[currency] ?? 0) : 0);

/**
 * The groups of a dimension that have conversions.
 * @param {string} dimension @param {string} title @param {any} answer @param {string | null} currency
 * @param {(dimension: string, one: any) => string} nameOf @param {URLSearchParams} query
 */
export function groupTable(dimension, title, answer, currency, nameOf, query) {
  const rows = answer.rows.filter((/** @type {any} */ row) => row.conversions);
  return table({caption: `Conversions by ${title.toLowerCase()}`, rows, sort: 'conversions', columns: [
    {name: 'name', title, sort: row => nameOf(dimension, row[dimension]), show: row => nameLink(dimension, row[dimension], nameOf(dimension, row[dimension]), isChosen(query, dimension, row[dimension]))},
    {name: 'conversions', title: 'Conversions', number: true, sort: row => row.conversions, show: row => number(row.conversions)},
    ...(currency ? [{name: 'revenue', title: `In ${currency}`, number: true, sort: (/** @type {any} */ row) => amountOf(row, currency), show: (/** @type {any} */ row) => [money(amountOf(row, currency), currency), otherSums(row.revenue, currency)]}] : []),
    {name: 'rate', title: 'Rate', number: true, class: 'opt', sort: row => row.conversion_rate ?? -1, show: row => (row.conversion_rate == null ? '–' : percent(row.conversion_rate, row.conversion_rate < 0.1 ? 2 : 0))},
  ]});
}

/** @param {string} dimension @param {any} one @param {string} text @param {boolean} chosen */
const nameLink = (dimension, one, text, chosen) => h('a', {class: 'cell', href: () => toggled(dimension, one), 'aria-current': chosen ? 'true' : null, 'aria-label': `${text}; ${chosen ? 'take out of the filter' : 'filter by it'}`}, chosen && icon('check'), typed(text));

/** The sums in other currencies, in a title's words. @param {Record<string, string>} revenue @param {string} currency */
function otherSums(revenue, currency) {
  const others = Object.entries(revenue).filter(([name]) => name !== currency);
  return others.length ? h('small', {class: 'others', title: list(others.map(([name, sum]) => money(sum, name)))}, ` +${plural(others.length, 'currency', 'currencies')}`) : null;
}

const ATTRIBUTION = /** @type {Record<string, [('' | 'ok' | 'warn'), string]>} */ ({attributed: ['ok', 'in an experiment'], unexposed: ['', 'after a click'], unattributed: ['warn', 'without a click'], deleted: ['', 'of a deleted link']});

/** @param {any[]} items @param {(dimension: string, one: any) => string} nameOf @param {any} profile */
export const latestTable = (items, nameOf, profile) => table({caption: 'The newest conversions', rows: items, columns: [
  {name: 'at', title: 'When', show: item => ago(item.at, dateTime(item.at))},
  {name: 'name', title: 'What', show: item => [typed(item.name), item.order_id ? h('small', {class: 'order'}, ' ', typed(item.order_id)) : null]},
  {name: 'link', title: 'Link', class: 'opt', show: item => (item.link_id ? h('a', {href: pathOf(profile, 'links', item.link_id)}, linkName(item.link_id, nameOf)) : '–')},
  {name: 'how', title: 'How', class: 'opt', show: item => tag(...(ATTRIBUTION[item.attribution] ?? ['', words(item.attribution).toLowerCase()]))},
  {name: 'value', title: 'Worth', number: true, show: item => (item.value == null || !item.currency ? '–' : money(item.value, item.currency))},
]});

/** A link's title where an answer had it. @param {string} id @param {(dimension: string, one: any) => string} nameOf */
const linkName = (id, nameOf) => (nameOf('link', id) === id ? 'See the link' : typed(nameOf('link', id)));
