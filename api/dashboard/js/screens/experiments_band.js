// How the difference to the control came about: each treatment's estimate, the band of one, and a handle in time.

import {h, fill, newId, svg, typed} from '../dom.js';
import {button, tag} from '../controls.js';
import {dateTime, hour, number, percent, shortDay, signed} from '../format.js';
import {niceStep, pathOf} from '../figures.js';
import {table} from '../table.js';
import {say} from '../toast.js';
import {change} from '../url.js';

const LEFT = 42, RIGHT = 64, TOP = 22, BOTTOM = 26, DAY_MS = 86_400_000;
const COLOURS = ['s3', 's2', 's4', 's1'];

/** The colour's class of a variant; the control has none. @param {number} variant */
export const colourOf = variant => (variant ? COLOURS[(variant - 1) % COLOURS.length] : '');

/**
 * The chart with its handle and the sentence below it. `show(series)` takes newer points: a handle at the end stays there.
 * @param {any} first the series @param {{at: string | null, arm: number}} options
 */
export function history(first, {at: since, arm}) {
  let series = first, width = 0, twin = false, chosen = arm, at = indexOf(series, since);
  const host = h('div', {class: 'plot'}), out = h('output', {class: 'asout'}), clip = newId('past');
  const slide = h('input', {type: 'range', min: 0, 'aria-label': 'As it stood at', oninput: () => { at = Number(slide.value); draw(); }, onchange: () => { tell(); keep(); }});
  const picks = h('div', {class: 'seg', role: 'group', 'aria-label': 'Which variant against the control'}, series.variants.slice(1).map((/** @type {string} */ name, /** @type {number} */ i) => h('button', {type: 'button', 'aria-pressed': String(i + 1 === chosen), onclick: () => { chosen = i + 1; [...picks.children].forEach((each, j) => each.setAttribute('aria-pressed', String(j === i))); draw(); tell(); }}, h('i', {class: `sw ${colourOf(i + 1)}`, 'aria-hidden': 'true'}), typed(name))));
  const end = () => series.points.length - 1;
  const keep = () => change({at: at < end() ? series.points[at].at : null}, {replace: true});
  const tell = () => say(out.textContent ?? '');
  function draw() {
    slide.max = String(end());
    slide.value = String(at);
    slide.setAttribute('aria-valuetext', dateTime(series.points[at].at));
    fill(out, words(series, chosen, at));
    if (twin) fill(host, asTable(series, chosen));
    else if (width > 0) fill(host, drawn(series, chosen, at, width, clip));
  }
  new ResizeObserver(([entry]) => {
    const next = Math.round(entry.contentRect.width);
    if (next !== width) { width = next; requestAnimationFrame(draw); }
  }).observe(host);
  draw();
  const swap = button('Table', {class: 'small', 'aria-pressed': 'false', onclick: () => { twin = !twin; swap.setAttribute('aria-pressed', String(twin)); draw(); }});
  const element = h('div', {class: 'body'}, host, h('div', {class: 'asit'}, slide), h('div', {class: 'asrow'}, out, button('Now', {class: 'small', onclick: () => { at = end(); draw(); tell(); keep(); }})));
  return {element, right: [series.variants.length > 2 && picks, swap], swap: () => swap.click(),
    show(/** @type {any} */ next) { const last = at === end(), time = series.points[at].at; series = next; at = last ? end() : indexOf(series, time); draw(); },
    move(/** @type {string | null} */ time) { at = indexOf(series, time); draw(); }};
}

/** The last point that is not after a time; the end without one. @param {any} series @param {string | null} time */
function indexOf(series, time) {
  const at = time ? series.points.findLastIndex((/** @type {any} */ point) => Date.parse(point.at) <= Date.parse(time)) : -1;
  return at < 0 ? series.points.length - 1 : at;
}

/** A variant's point in points of a rate, or null before there was one. @param {any} point @param {number} variant */
function lookAt(point, variant) {
  const {lift, low, high} = point.variants[variant];
  return lift == null || low == null ? null : {lift: lift * 100, low: low * 100, high: high * 100};
}

/** @param {any} series @param {number} variant @param {number} at */
function words(series, variant, at) {
  const look = lookAt(series.points[at], variant), last = at === series.points.length - 1;
  const head = [h('span', {class: 'flat'}, last ? 'As it stands ' : 'As it stood '), last ? 'now: ' : `on ${dateTime(series.points[at].at)}: `];
  if (!look) return [head, 'too few visitors to compare'];
  const so = look.low > 0 ? tag('ok', 'better') : look.high < 0 ? tag('bad', 'worse') : tag('', 'undecided');
  return [head, typed(series.variants[variant]), ' ', h('b', {}, signed(look.lift)), ` (${signed(look.low)} … ${signed(look.high)}) points `, so];
}

/** Since when zero is left out, or null. @param {any} series @param {number} variant */
export function leftZero(series, variant) {
  const looks = series.points.map((/** @type {any} */ point) => lookAt(point, variant));
  const since = looks.findLastIndex((/** @type {any} */ look) => !look || (look.low <= 0 && look.high >= 0)) + 1;
  return series.points[since] ?? null;
}

/** @param {any} series @param {number} variant @param {number} at @param {number} W @param {string} clip */
function drawn(series, variant, at, W, clip) {
  const H = W < 500 ? 240 : 340, {points} = series, n = points.length;
  const last = points.map((/** @type {any} */ point) => lookAt(point, variant)).findLast(Boolean) ?? {lift: 0, low: -1, high: 1};
  // Early intervals are wide; the axis shows a few times the width of the last one.
  const widest = Math.min(100, Math.max(Math.abs(last.low), Math.abs(last.high), 0.1) * 2.2), step = niceStep(widest / 2.5), max = step * Math.ceil(widest / step);
  const x = (/** @type {number} */ i) => LEFT + (n > 1 ? i * (W - LEFT - RIGHT) / (n - 1) : 0);
  const y = (/** @type {number} */ value) => TOP + (max - Math.max(-max, Math.min(max, value))) / (2 * max) * (H - TOP - BOTTOM);
  const chart = svg('svg', {class: 'chart', viewBox: `0 0 ${W} ${H}`, role: 'img', 'aria-label': `Difference to the control in points over time. ${series.variants[variant]}: at the end between ${signed(last.low)} and ${signed(last.high)}.`});
  chart.append(svg('text', {x: 0, y: 10}, 'points'), svg('clipPath', {id: clip}, svg('rect', {x: 0, y: 0, width: x(at), height: H})));
  for (let value = -max; value <= max + step / 2; value += step) {
    const zero = Math.abs(value) < step / 2;
    chart.append(svg('line', {class: zero ? 'zero' : 'grid-line', x1: LEFT, x2: W - RIGHT, y1: y(value), y2: y(value)}), svg('text', {class: zero ? 'zt' : null, x: LEFT - 8, y: y(value) + 4, 'text-anchor': 'end'}, zero ? '0' : signed(value, 2)));
  }
  for (let each = 1; each < series.variants.length; each++) if (each !== variant) chart.append(arm(series, each, false, {x, y}, at, clip));
  chart.append(arm(series, variant, true, {x, y}, at, clip));
  marks(chart, series, variant, at, {x, y}, W, H);
  return chart;
}

/** @typedef {{x: (i: number) => number, y: (value: number) => number}} Scale */

/** A treatment's line, with its band if it is chosen: pale after the handle. @param {any} series @param {number} variant @param {boolean} wide @param {Scale} scale @param {number} at @param {string} clip */
function arm(series, variant, wide, {x, y}, at, clip) {
  const looks = series.points.map((/** @type {any} */ point, /** @type {number} */ i) => ({look: lookAt(point, variant), i})).filter((/** @type {any} */ each) => each.look);
  const line = (/** @type {'lift' | 'low' | 'high'} */ name) => looks.map((/** @type {any} */ each) => /** @type {[number, number]} */ ([x(each.i), y(each.look[name])]));
  const high = line('high'), low = line('low');
  const paths = () => [wide && high.length > 1 && svg('path', {class: 'b', d: `${pathOf(high)}${pathOf([...low].reverse()).replace('M', 'L')}Z`}), wide && svg('path', {class: 'e', d: pathOf(high)}), wide && svg('path', {class: 'e', d: pathOf(low)}), svg('path', {class: 'l', d: pathOf(line('lift'))})];
  const open = at < series.points.length - 1, colour = colourOf(variant), end = looks.at(-1);
  return svg('g', {}, svg('g', {class: `arm ${colour}${open ? ' later' : ''}`}, paths()), open && svg('g', {class: `arm ${colour}`, 'clip-path': `url(#${clip})`}, paths()),
    end && [svg('circle', {class: `armd ${colour}`, cx: x(end.i) + 8, cy: y(end.look.lift), r: 4}), svg('text', {class: 'armt', x: x(end.i) + 16, y: y(end.look.lift) + 4}, short(series.variants[variant]))]);
}

/** @param {string} name */
const short = name => ([...name].length > 7 ? `${[...name].slice(0, 6).join('')}…` : name);

/** The handle, the moment that left zero out, and the axis of time. @param {any} chart @param {any} series @param {number} variant @param {number} at @param {Scale} scale @param {number} W @param {number} H */
function marks(chart, series, variant, at, {x, y}, W, H) {
  const {points} = series, left = leftZero(series, variant), look = lookAt(points[at], variant), n = points.length;
  if (left && left !== points[0]) {
    const i = points.indexOf(left), edge = lookAt(left, variant), late = x(i) > W - RIGHT - 90;
    chart.append(svg('line', {class: 'mark', x1: x(i), x2: x(i), y1: TOP - 4, y2: y(0)}), svg('circle', {class: 'leave', cx: x(i), cy: y(edge && edge.low > 0 ? edge.low : edge?.high ?? 0), r: 4}), svg('text', {class: 'markt', x: x(i) + (late ? -6 : 6), y: TOP - 8, 'text-anchor': late ? 'end' : 'start'}, 'zero left out'));
  }
  if (at < n - 1) chart.append(svg('line', {class: 'asat', x1: x(at), x2: x(at), y1: TOP, y2: H - BOTTOM}));
  if (at < n - 1 && look) chart.append(svg('line', {class: 'asatb', x1: x(at), x2: x(at), y1: y(look.low), y2: y(look.high)}), svg('circle', {class: 'asat', cx: x(at), cy: y(look.lift), r: 4}));
  const name = Date.parse(points[n - 1].at) - Date.parse(points[0].at) > 2 * DAY_MS ? shortDay : hour, every = Math.max(1, Math.ceil(n / Math.max(2, Math.floor((W - LEFT - RIGHT) / 80))));
  for (let i = 0; i < n; i += every) chart.append(svg('text', {x: x(i), y: H - 6, 'text-anchor': i ? 'middle' : 'start'}, name(points[i].at)));
}

/** The same numbers, the newest first. @param {any} series @param {number} variant */
function asTable(series, variant) {
  const look = (/** @type {any} */ point) => lookAt(point, variant), of = (/** @type {any} */ point) => point.variants[variant];
  return table({caption: `Difference of ${series.variants[variant]} to the control over time`, rows: [...series.points].reverse(), columns: [
    {name: 'at', title: 'Time', show: point => dateTime(point.at)},
    {name: 'visitors', title: 'Visitors', number: true, show: point => number(of(point).visitors)},
    {name: 'rate', title: 'Rate', number: true, class: 'opt', show: point => percent(of(point).rate, 2)},
    {name: 'lift', title: 'Difference', number: true, show: point => signed(look(point)?.lift)},
    {name: 'bounds', title: 'Between', number: true, show: point => `${signed(look(point)?.low)} … ${signed(look(point)?.high)}`},
  ]});
}
