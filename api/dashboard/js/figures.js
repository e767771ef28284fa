// Small charts: bar lists, sparklines, minutes. Bars are SVG behind text: widths without any style.

import {h, svg, icon, typed} from './dom.js';
import {number, percent, signed} from './format.js';

/** @param {[number, number][]} points */
export const pathOf = points => points.map(([x, y], i) => `${i ? 'L' : 'M'}${x.toFixed(1)} ${y.toFixed(1)}`).join('');

/** The smallest of 1, 2, 2.5, 5 × 10^n that is at least `least`: a step of an axis. @param {number} least */
export function niceStep(least) {
  const power = 10 ** Math.floor(Math.log10(Math.max(least, 1e-9)));
  return power * /** @type {number} */ ([1, 2, 2.5, 5, 10].find(k => k * power >= least * (1 - 1e-9)));
}

/**
 * @typedef {object} Bar
 * @property {string} text
 * @property {string} [sub] beside it, smaller
 * @property {number} value
 * @property {number | null} [change] in percent against the period before, instead of the share
 * @property {string | (() => string) | null} href the same screen with this filter added or taken out
 * @property {'' | 'chosen' | 'out' | 'off'} [state] chosen in a filter, left out by one, not in the figures
 */

/**
 * A list of bars, each a link.
 * @param {Bar[]} bars @param {number} total that shares are of @param {string} [unit]
 */
export function barList(bars, total, unit = 'clicks') {
  const most = Math.max(1, ...bars.filter(bar => !bar.state || bar.state === 'chosen').map(bar => bar.value));
  return h('ul', {class: 'bars'}, bars.map(bar => h('li', {}, barRow(bar, most, total, unit))));
}

const DOES = {'': 'filter by it', chosen: 'take out of the filter', out: 'let in again', off: 'add to the filter'};

/** @param {Bar} bar @param {number} most @param {number} total @param {string} unit */
function barRow(bar, most, total, unit) {
  const quiet = bar.state === 'out' || bar.state === 'off', change = bar.change;
  const end = bar.state === 'out' ? ['p', 'left out'] : change != null
    ? [`p ${quiet || Math.abs(change) < 20 ? '' : change > 0 ? 'up' : 'down'}`, `${signed(change, 0)} %`]
    : ['p', total > 0 ? percent(bar.value / total) : ''];
  return h(bar.href ? 'a' : 'span', {href: bar.href, class: `row${quiet ? ' quiet' : ''}`, 'aria-current': bar.state === 'chosen' ? 'true' : null, 'aria-label': bar.href ? `${bar.text}: ${number(bar.value)} ${unit}${quiet ? ', not in the figures' : ''}; ${DOES[bar.state ?? '']}` : null},
    !quiet && svg('svg', {class: 'bar', viewBox: '0 0 100 10', preserveAspectRatio: 'none', 'aria-hidden': 'true'}, svg('rect', {width: Math.max(0.8, bar.value / most * 100), height: 10, rx: 0.6})),
    h('span', {class: 't'}, bar.state === 'chosen' && icon('check'), typed(bar.text), bar.sub && h('small', {}, typed(bar.sub))),
    h('span', {class: 'v'}, number(bar.value)), h('span', {class: end[0]}, end[1]));
}

/**
 * A sparkline; `label` says it in words.
 * @param {number[]} values @param {string} label @param {string} [more] classes
 */
export function spark(values, label, more = '') {
  const W = 96, H = 26, top = Math.max(1, ...values), n = Math.max(1, values.length - 1);
  const points = values.map((value, i) => /** @type {[number, number]} */ ([1 + i * (W - 2) / n, H - 2 - value / top * (H - 5)]));
  if (points.length < 2) return svg('svg', {class: `spark ${more}`, viewBox: `0 0 ${W} ${H}`, role: 'img', 'aria-label': label});
  return svg('svg', {class: `spark ${more}`, viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': label},
    svg('path', {class: 'area', d: `${pathOf(points)}L${W - 1} ${H}L1 ${H}Z`}), svg('path', {class: 'line', d: pathOf(points)}));
}

/**
 * Bars of the last minutes, the newest at the end.
 * @param {number[]} counts @param {string} label
 */
export function minuteBars(counts, label) {
  const W = 300, H = 44, top = Math.max(4, ...counts), width = W / counts.length;
  return svg('svg', {class: 'chart minutes', viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': label},
    counts.map((count, i) => {
      const height = count ? Math.max(3, count / top * H) : 2;
      return svg('rect', {class: !count ? 'nil' : i === counts.length - 1 ? 'now' : 'was', x: i * width + 1, y: H - height, width: width - 2, height, rx: 1.5});
    }));
}
