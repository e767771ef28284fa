// Deliveries a day as stacked bars: delivered, failed, waiting. A failed one is never too low to be seen.

import {h, fill, svg} from '../dom.js';
import {niceStep} from '../figures.js';
import {longDay, number, plural, shortDay} from '../format.js';
import {table} from '../table.js';

const H = 196, LEFT = 34, RIGHT = 6, TOP = 12, BOTTOM = 24, LOWEST = 4;
const PARTS = /** @type {[string, string, string][]} */ ([['delivered', 'ok', 'delivered'], ['failed', 'fail', 'failed'], ['pending', 'wait', 'waiting']]);

/** @param {any} day */
const sumOf = day => day.delivered + day.failed + day.pending;

/** A day in words. @param {any} day */
export const wordsOf = day => `${longDay(day.day, 'UTC')}: ${PARTS.filter(([name]) => day[name]).map(([name, , text]) => `${number(day[name])} ${text}`).join(', ') || 'nothing sent'}`;

/** Bars of a few days, as high as a line of text. @param {any[]} days */
export function dayBars(days) {
  const most = Math.max(1, ...days.map(sumOf)), step = 9, height = 26;
  const label = `Deliveries of ${plural(days.length, 'day')}: ${PARTS.map(([name, , text]) => `${number(days.reduce((sum, day) => sum + day[name], 0))} ${text}`).join(', ')}`;
  return svg('svg', {class: 'stack small', viewBox: `0 0 ${days.length * step} ${height}`, role: 'img', 'aria-label': label}, days.map((day, i) => parts(day, i * step, step - 2, height, height / most, 2)));
}

/** The parts of a day, from below. @param {any} day @param {number} x @param {number} width @param {number} bottom @param {number} scale @param {number} lowest */
function parts(day, x, width, bottom, scale, lowest) {
  let y = bottom;
  return PARTS.filter(([name]) => day[name]).map(([name, kind]) => {
    const height = Math.max(lowest, day[name] * scale - 1);
    y -= height + 1;
    return svg('rect', {class: kind, x, y: Math.max(0, y + 1), width, height: Math.min(height, bottom), rx: Math.min(2, width / 3)});
  });
}

/**
 * The chart of a summary's days. `choose(day)` is told of the day that is pressed, null: of all; arrows go from day to day.
 * @param {(day: string | null) => void} choose
 */
export function daysChart(choose) {
  /** @type {any[]} */
  let days = [];
  let width = 0, twin = false;
  /** @type {string | null} */
  let chosen = null;
  const host = h('div', {class: 'plot'});
  const draw = () => { if (twin) fill(host, twinOf(days)); else if (width) fill(host, chartOf(days, width, chosen, choose)); };
  new ResizeObserver(([entry]) => {
    const next = Math.round(entry.contentRect.width);
    if (next !== width) { width = next; requestAnimationFrame(draw); }
  }).observe(host);
  return Object.assign(host, {
    show(/** @type {any[]} */ next, /** @type {string | null} */ day) { days = next; chosen = day; draw(); },
    twin(/** @type {boolean} */ on) { twin = on; draw(); },
  });
}

/** @param {any[]} days */
const twinOf = days => table({caption: 'Deliveries a day, in UTC', rows: days, sort: 'day', columns: [{name: 'day', title: 'Day', show: day => shortDay(day.day, 'UTC'), sort: day => day.day},
  ...PARTS.map(([name, , text]) => ({name, title: text[0].toUpperCase() + text.slice(1), number: true, show: (/** @type {any} */ day) => number(day[name]), sort: (/** @type {any} */ day) => day[name]}))]});

/** @param {any[]} days @param {number} W @param {string | null} chosen @param {(day: string | null) => void} choose */
function chartOf(days, W, chosen, choose) {
  const most = Math.max(4, ...days.map(sumOf)), step = niceStep(most / 3), top = step * Math.ceil(most / step);
  const column = (W - LEFT - RIGHT) / Math.max(1, days.length), scale = (H - TOP - BOTTOM) / top, at = chosen ? days.findIndex(day => day.day === chosen) : -1;
  const chart = svg('svg', {class: 'chart stack', viewBox: `0 0 ${W} ${H}`, role: 'slider', tabindex: 0, 'aria-label': 'Deliveries a day', 'aria-valuemin': 0, 'aria-valuemax': days.length, 'aria-valuenow': at + 1, 'aria-valuetext': at < 0 ? 'all days' : wordsOf(days[at]),
    onkeydown: (/** @type {KeyboardEvent} */ event) => {
      const move = /** @type {Record<string, number>} */ ({ArrowLeft: -1, ArrowRight: 1})[event.key];
      if (move) choose(days[Math.min(days.length - 1, Math.max(0, (at < 0 ? days.length : at) + move))].day);
      else if (event.key === 'Escape') choose(null);
      else return;
      event.preventDefault();
    }});
  for (let value = 0; value <= top; value += step) chart.append(svg('line', {class: 'grid-line', x1: LEFT, x2: W - RIGHT, y1: H - BOTTOM - value * scale, y2: H - BOTTOM - value * scale}), svg('text', {x: LEFT - 8, y: H - BOTTOM - value * scale + 4, 'text-anchor': 'end'}, number(value)));
  const every = Math.ceil(days.length / Math.max(2, Math.floor((W - LEFT) / 74)));
  days.forEach((day, i) => {
    const x = LEFT + i * column;
    chart.append(svg('g', {class: 'dayb', onclick: () => choose(i === at ? null : day.day)}, svg('title', {}, wordsOf(day)),
      svg('rect', {class: i === at ? 'sel on' : 'sel', x, y: TOP - 6, width: column, height: H - BOTTOM - TOP + 6, rx: 4}),
      parts(day, x + Math.min(3, column / 8), column - Math.min(6, column / 4), H - BOTTOM, scale, LOWEST)));
    if ((days.length - 1 - i) % every === 0) chart.append(svg('text', {x: Math.min(W - RIGHT - 16, x + column / 2), y: H - 6, 'text-anchor': 'middle'}, shortDay(day.day, 'UTC')));
  });
  return chart;
}
