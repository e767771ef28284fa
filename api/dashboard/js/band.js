// The band of a confidence sequence: the estimate, its interval at every look, and zero.

import {svg, h, fill} from './dom.js';
import {signed} from './format.js';
import {niceStep, pathOf} from './figures.js';

const LEFT = 44, RIGHT = 12, TOP = 10, BOTTOM = 24;

/**
 * @typedef {object} Look
 * @property {string} name of the time, on the axis
 * @property {number | null} estimate in points
 * @property {number | null} low
 * @property {number | null} high
 */

/**
 * A band that follows its width; `show(looks)` shows others.
 * @param {Look[]} first @param {{label: string, height?: number, series?: number}} options `series`: 2 to 4, its colour
 */
export function band(first, {label, height = 170, series = 3}) {
  let looks = first, width = 0;
  const host = h('div', {class: 'plot'});
  const draw = () => { if (width > 0) fill(host, drawn(looks, width, height, label, series)); };
  new ResizeObserver(([entry]) => {
    const next = Math.round(entry.contentRect.width);
    if (next !== width) { width = next; requestAnimationFrame(draw); }
  }).observe(host);
  return Object.assign(host, {show(/** @type {Look[]} */ next) { looks = next; draw(); }});
}

/** @param {Look[]} looks @param {number} W @param {number} H @param {string} label @param {number} series */
function drawn(looks, W, H, label, series) {
  const known = looks.filter(look => look.estimate != null && look.low != null && look.high != null);
  const last = known.at(-1), chart = svg('svg', {class: `chart s${series}`, viewBox: `0 0 ${W} ${H}`, role: 'img', 'aria-label': label});
  // Early intervals are wide; the axis shows three times the width of the last one.
  const widest = last ? Math.max(Math.abs(/** @type {number} */ (last.low)), Math.abs(/** @type {number} */ (last.high))) * 2.4 : 1;
  const step = niceStep(Math.max(widest, 0.1) / 2.5), max = step * Math.ceil(widest / step), n = looks.length;
  const x = (/** @type {number} */ i) => LEFT + (n > 1 ? i * (W - LEFT - RIGHT) / (n - 1) : 0);
  const y = (/** @type {number} */ value) => TOP + (max - Math.max(-max, Math.min(max, value))) / (2 * max) * (H - TOP - BOTTOM);
  for (let value = -max; value <= max + step / 2; value += step) {
    const zero = Math.abs(value) < step / 2;
    chart.append(svg('line', {class: zero ? 'zero' : 'grid-line', x1: LEFT, x2: W - RIGHT, y1: y(value), y2: y(value)}), svg('text', {class: zero ? 'zt' : null, x: LEFT - 8, y: y(value) + 4, 'text-anchor': 'end'}, zero ? '0' : signed(value, 2)));
  }
  const at = looks.map((look, i) => ({look, i})).filter(({look}) => known.includes(look));
  const [high, low, mid] = (/** @type {const} */ (['high', 'low', 'estimate'])).map(name => at.map(({look, i}) => /** @type {[number, number]} */ ([x(i), y(/** @type {number} */ (look[name]))])));
  if (at.length > 1) {
    chart.append(svg('path', {class: 'band', d: `${pathOf(high)}${pathOf([...low].reverse()).replace('M', 'L')}Z`}), svg('path', {class: 'edge', d: pathOf(high)}), svg('path', {class: 'edge', d: pathOf(low)}), svg('path', {class: 'bandline', d: pathOf(mid)}));
  }
  const every = Math.max(1, Math.ceil(n / Math.max(2, Math.floor((W - LEFT) / 90))));
  for (let i = 0; i < n; i += every) chart.append(svg('text', {x: x(i), y: H - 6, 'text-anchor': i ? 'middle' : 'start'}, looks[i].name));
  return chart;
}
