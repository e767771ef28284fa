// The figures of conversions: how many, what they were worth in one currency, how many clicks it took.

import {h} from '../dom.js';
import {money, number, percent, signed} from '../format.js';
import {href} from '../url.js';

/** @typedef {{name: string, title: string, unit: string, show: (value: any) => string}} Metric */

/** The currencies of an answer, the one with the largest sum first. @param {any} answer @returns {string[]} */
export function currenciesOf({totals, previous}) {
  const sums = {...previous?.totals.revenue, ...totals.revenue};
  return Object.keys(sums).sort((a, b) => Math.abs(Number(sums[b])) - Math.abs(Number(sums[a])));
}

/** @param {string | null} currency @returns {Metric[]} */
export function metricsOf(currency) {
  const paid = (/** @type {any} */ sum) => (currency ? money(sum, currency) : number(sum));
  return [
    {name: 'conversions', title: 'Conversions', unit: 'conversions', show: sum => number(sum)},
    {name: 'amount', title: currency ? `Revenue in ${currency}` : 'Revenue', unit: 'revenue', show: paid},
    {name: 'conversion_rate', title: 'Rate', unit: 'of the clicks', show: share => percent(share, 2)},
    {name: 'per_click', title: 'A click brings', unit: 'a click', show: paid},
  ];
}

/** An answer with `amount` and `per_click` of one currency in each row. @param {any} answer @param {string | null} currency */
export function withAmounts(answer, currency) {
  const row = (/** @type {any} */ each) => {
    const amount = currency ? Number(each.revenue?.[currency] ?? 0) : 0;
    return {...each, amount, per_click: each.clicks ? amount / each.clicks : null};
  };
  const {previous} = answer;
  return {...answer, totals: row(answer.totals), rows: answer.rows.map(row), previous: previous && {...previous, totals: row(previous.totals), rows: previous.rows.map(row)}};
}

/** The figures; each chooses what the chart shows. @param {any} answer @param {Metric[]} metrics @param {string} chosen */
export const figuresOf = (answer, metrics, chosen) => h('div', {class: 'kpibar kpis four', role: 'group', 'aria-label': 'What the chart shows'}, metrics.map(({name, title, show}, i) => {
  const now = answer.totals[name], before = answer.previous?.totals[name];
  return h('a', {class: 'kpi', href: () => href({metric: i ? name : null}), 'aria-current': name === chosen ? 'true' : null}, h('span', {class: 'l'}, title), h('strong', {}, show(now)), h('span', {class: 'd'}, changeOf(now, before), before ? h('small', {}, `before ${show(before)}`) : null));
}));

/** @param {any} now @param {any} before */
function changeOf(now, before) {
  if (now == null || !before) return now && before === 0 ? h('span', {class: 'delta flat'}, 'new') : null;
  const change = (now / before - 1) * 100;
  return h('span', {class: `delta ${Math.abs(change) < 1 ? 'flat' : change > 0 ? 'up' : 'down'}`}, `${signed(change, Math.abs(change) < 10 ? 1 : 0)} %`);
}
