// The figures of the overview: buttons that choose what the chart shows, its line, and the first steps before any click.

import {h, icon, typed} from '../dom.js';
import {button, linkButton} from '../controls.js';
import {number, signed} from '../format.js';
import {copy} from '../toast.js';
import {match, pathOf} from '../url.js';

export const METRICS = [
  {name: 'clicks', title: 'Clicks', unit: 'clicks', show: (/** @type {any} */ value) => number(value)},
  {name: 'visitors', title: 'Visitors', unit: 'visitors', show: (/** @type {any} */ value) => number(value)},
  {name: 'views', title: 'Page views', unit: 'page views', show: (/** @type {any} */ value) => number(value)},
  {name: 'click_rate', title: 'Clicks a view', unit: 'clicks a view', show: (/** @type {any} */ value) => number(value, 2)},
  {name: 'bots', title: 'Bots kept out', unit: 'bots kept out', show: (/** @type {any} */ value) => number(value)},
];

/**
 * The buttons. @param {any} answer of /v1 stats @param {string} chosen @param {(metric: string) => () => string} hrefOf
 */
export function figures(answer, chosen, hrefOf) {
  return h('div', {class: 'kpibar kpis', role: 'group', 'aria-label': 'What the chart shows'}, METRICS.map(({name, title, show}) => {
    const value = answer.totals[name], before = answer.previous?.totals[name];
    return h('a', {class: 'kpi', href: hrefOf(name), 'aria-current': name === chosen ? 'true' : null}, h('span', {class: 'l'}, title), h('strong', {}, show(value)), h('span', {class: 'd'}, changeOf(value, before, name), before ? h('small', {}, `before ${show(before)}`) : null));
  }));
}

/** @param {number | null} value @param {number | null} before @param {string} name */
function changeOf(value, before, name) {
  if (value == null || before == null || (!before && !value)) return h('span', {class: 'delta flat'}, '');
  if (!before) return h('span', {class: 'delta flat'}, 'new');
  const change = (value / before - 1) * 100, flat = Math.abs(change) < 1;
  // More bots are neither good nor bad: they are kept out.
  const kind = flat || name === 'bots' ? 'flat' : change > 0 ? 'up' : 'down';
  return h('span', {class: `delta ${kind}`}, flat ? '' : change > 0 ? '▲ ' : '▼ ', change > 999 ? `${number(value / before)} times` : `${flat ? signed(change, 1) : number(Math.abs(change), Math.abs(change) < 10 ? 1 : 0)} %`);
}

/**
 * The chart's line. @param {any} answer @param {any} metric @param {number} now ms @param {(from: any, to: any) => void} choose
 * @returns {import('../chart.js').Line}
 */
export function lineOf(answer, metric, now, choose) {
  const {rows, previous} = answer, ends = rows.map((/** @type {any} */ _, /** @type {number} */ i) => Date.parse(rows[i + 1]?.time ?? answer.to));
  const points = rows.map((/** @type {any} */ row, /** @type {number} */ i) => ({
    time: row.time, value: Date.parse(row.time) > now ? null : row[metric.name] ?? null, before: previous?.rows[i]?.[metric.name] ?? null, part: ends[i] > now,
  }));
  const values = points.map((/** @type {any} */ point) => point.value).filter((/** @type {any} */ value) => value != null);
  const bounds = values.length ? `, between ${metric.show(Math.min(...values))} and ${metric.show(Math.max(...values))}` : '';
  return {points, label: `${metric.title} by ${answer.interval}${bounds}`, unit: metric.unit, interval: answer.interval, tz: answer.tz, format: metric.show, choose};
}

const STEPS = [['links', 'Make a link'], ['page', 'Build the page'], ['team', 'Invite somebody']];
/** What to do before anybody has clicked. @param {any} profile */
export function firstSteps(profile) {
  return h('div', {class: 'empty'}, h('div', {class: 'emptyin'},
    h('h2', {}, 'No clicks yet'),
    h('p', {}, 'The first click shows here within a second. Keep this open and try it.'),
    h('p', {class: 'share2'}, h('span', {class: 'url'}, typed(profile.url)), button('Copy', {icon: 'copy', class: 'main', onclick: () => copy(profile.url, 'Address copied')}), linkButton('Open', {href: profile.url, icon: 'external-link', target: '_blank', rel: 'noopener'})),
    h('p', {class: 'note'}, icon('info'), ' Your own clicks count, too.'),
    h('ul', {class: 'todo2'}, STEPS.filter(([place]) => match(pathOf(profile, place))).map(([place, text]) => h('li', {}, h('i', {class: 'ring', 'aria-hidden': 'true'}), h('a', {href: pathOf(profile, place)}, text), null)))),
  h('figure', {class: 'qrfig'}, h('img', {src: `/v1/profiles/${profile.id}/qr`, width: 168, height: 168, alt: 'QR code of your page'}), h('figcaption', {}, 'On a phone: point and tap')));
}

