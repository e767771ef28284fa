// The line chart: this period over the one before, by keyboard as by pointer, and the same numbers as a table.

import {h, svg, fill} from './dom.js';
import {compact, number, shortDay, longDay, hour, month, dateTime, signed} from './format.js';
import {niceStep, pathOf} from './figures.js';
import {table} from './table.js';
import {say} from './toast.js';

const LEFT = 44, RIGHT = 12, TOP = 30, BOTTOM = 26;

/**
 * @typedef {object} Point
 * @property {string} time when its interval begins
 * @property {number | null} value
 * @property {number | null} [before] of the period before
 * @property {boolean} [part] whether its interval is not over yet
 *
 * @typedef {object} Mark
 * @property {number} at index of a point
 * @property {string} text
 * @property {'' | 'bad'} [kind]
 *
 * @typedef {object} Line
 * @property {Point[]} points
 * @property {string} label what the chart shows, in a sentence
 * @property {string} unit "clicks"
 * @property {string} interval of /v1 stats: 15m, hour, day, week, month, …
 * @property {string} [tz]
 * @property {Mark[]} [marks]
 * @property {number} [height]
 * @property {(value: any) => string} [format] of a value in words
 * @property {(from: Point, to: Point) => void} [choose] a range was selected, both ends included
 */

/** Return the name of a point's interval. @param {string} time @param {Line} line @param {boolean} [long] */
export function nameOf(time, line, long = false) {
  if (line.interval === 'hour' || line.interval === '15m') return long ? dateTime(time, line.tz) : hour(time, line.tz);
  if (line.interval === 'month' || line.interval === 'quarter' || line.interval === 'year') return month(time, line.tz);
  return long ? longDay(time, line.tz) : shortDay(time, line.tz);
}

/** "1,726 clicks, before 1,508 (+14 %)". @param {Point} point @param {Line} line */
function said(point, line) {
  const format = line.format ?? number;
  const change = point.before && point.value != null ? `, ${signed((point.value / point.before - 1) * 100, 0)} %` : '';
  return {value: `${format(point.value)} ${line.unit}${point.part ? ' so far' : ''}`, before: point.before == null ? '' : `before ${format(point.before)}${point.part ? '' : change}`};
}

/**
 * A line chart that follows its width. Show another line with `show(line)`; `twin(true)` shows the table instead.
 * @param {Line} first
 */
export function lineChart(first) {
  let line = first, width = 0, at = -1, asTable = false, frame = 0;
  const host = h('div', {class: 'plot'});
  const draw = () => {
    if (asTable) fill(host, twinOf(line));
    else if (width > 0) fill(host, drawn(line, width, at, moved));
  };
  const moved = (/** @type {number} */ index) => { at = index; };
  new ResizeObserver(([entry]) => {
    const next = Math.round(entry.contentRect.width);
    if (next === width) return;
    width = next;
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(draw);
  }).observe(host);
  host.addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => {
    if (event.key.toLowerCase() === 't' && !event.ctrlKey && !event.metaKey && !event.altKey) { event.preventDefault(); twin(!asTable); }
  });
  function twin(/** @type {boolean} */ on) {
    asTable = on;
    draw();
    say(on ? 'Shown as a table' : 'Shown as a chart');
    /** @type {HTMLElement | null} */ (host.querySelector('[tabindex]'))?.focus({preventScroll: true});
  }
  return Object.assign(host, {
    show(/** @type {Line} */ next) {
      if (next.points.length !== line.points.length) at = -1;
      line = next;
      draw();
    },
    twin,
    isTable: () => asTable,
  });
}

/** @param {Line} line */
function twinOf(line) {
  const format = line.format ?? number;
  return table({caption: line.label, rows: line.points, sort: 'time', descending: false, columns: [
    {name: 'time', title: 'When', sort: point => Date.parse(point.time), show: point => nameOf(point.time, line, true) + (point.part ? ', so far' : '')},
    {name: 'value', title: line.unit[0].toUpperCase() + line.unit.slice(1), number: true, sort: point => point.value, show: point => format(point.value)},
    ...(line.points.some(point => point.before != null) ? [{name: 'before', title: 'Before', number: true, sort: (/** @type {Point} */ point) => point.before, show: (/** @type {Point} */ point) => format(point.before)}] : []),
  ]});
}

/** @param {Line} line @param {number} W @param {number} at @param {(index: number) => void} moved */
function drawn(line, W, at, moved) {
  const H = line.height ?? (W < 500 ? 220 : 304), {points} = line, n = points.length;
  const top = Math.max(1, ...points.flatMap(point => [point.value ?? 0, point.before ?? 0]));
  const step = niceStep(top / 4), max = step * Math.ceil(top / step - 1e-9);
  const x = (/** @type {number} */ i) => LEFT + (n > 1 ? i * (W - LEFT - RIGHT) / (n - 1) : (W - LEFT - RIGHT) / 2);
  const y = (/** @type {number} */ value) => H - BOTTOM - value / max * (H - TOP - BOTTOM);
  const chart = svg('svg', {class: 'chart', viewBox: `0 0 ${W} ${H}`, role: 'img', tabindex: 0, 'aria-label': `${line.label}. Arrows move from point to point, T shows a table.`});
  for (let value = 0; value <= max + step / 2; value += step) {
    chart.append(svg('line', {class: 'grid-line', x1: LEFT, x2: W - RIGHT, y1: y(value), y2: y(value)}), svg('text', {x: LEFT - 8, y: y(value) + 4, 'text-anchor': 'end'}, compact(value)));
  }
  const every = Math.max(1, Math.ceil(n / Math.max(2, Math.floor((W - LEFT) / 76))));
  for (let i = 0; i < n; i += every) {
    const near = i ? (x(i) > W - 40 ? 'end' : 'middle') : n > 1 ? 'start' : 'middle';
    chart.append(svg('text', {x: near === 'end' ? W - RIGHT : x(i), y: H - 8, 'text-anchor': near}, nameOf(points[i].time, line)));
  }
  chart.append(...lines(points, x, y));
  (line.marks ?? []).forEach((mark, i) => chart.append(
    svg('line', {class: `mark ${mark.kind ?? ''}`, x1: x(mark.at), x2: x(mark.at), y1: TOP - 8, y2: H - BOTTOM}),
    svg('circle', {class: `pin ${mark.kind ?? ''}`, cx: x(mark.at), cy: TOP - 16, r: 8}),
    svg('text', {class: 'pint', x: x(mark.at), y: TOP - 12.5, 'text-anchor': 'middle'}, letter(i), svg('title', {}, mark.text))));
  handle(chart, line, {W, H, x, y, at, moved});
  return chart;
}

/** The letter of the nth mark, in the chart and beside its words. @param {number} i */
export const letter = i => String.fromCharCode(65 + i % 26);

/** @param {Point[]} points @param {(i: number) => number} x @param {(value: number) => number} y */
function lines(points, x, y) {
  const whole = /** @type {[number, number][]} */ ([]), part = /** @type {[number, number][]} */ ([]), before = /** @type {[number, number][]} */ ([]);
  points.forEach((point, i) => {
    if (point.before != null) before.push([x(i), y(point.before)]);
    if (point.value == null) return;
    if (point.part) part.push([x(i), y(point.value)]);
    else whole.push([x(i), y(point.value)]);
  });
  const all = [...whole, ...part];
  if (whole.length && part.length) part.unshift(whole[whole.length - 1]);
  return [
    all.length > 1 && svg('path', {class: 'area', d: `${pathOf(all)}L${all[all.length - 1][0]} ${y(0)}L${all[0][0]} ${y(0)}Z`}),
    before.length > 1 && svg('path', {class: 'prev', d: pathOf(before)}),
    whole.length > 1 && svg('path', {class: 'line', d: pathOf(whole)}),
    part.length > 1 && svg('path', {class: 'line part', d: pathOf(part)}),
    all.length === 1 && svg('circle', {class: 'tip', cx: all[0][0], cy: all[0][1], r: 4}),
  ].filter(Boolean);
}

/** Let pointer and keys move from point to point, and select a range. @param {any} chart @param {Line} line @param {any} place */
function handle(chart, line, {W, H, x, y, at, moved}) {
  const n = line.points.length, tip = svg('g', {}), range = svg('rect', {class: 'range', y: TOP, height: H - TOP - BOTTOM, width: 0});
  let from = -1;
  chart.append(range, tip);
  const show = (/** @type {number} */ i) => { at = i; moved(i); fill(tip, tipOf(line, i, {W, H, x, y})); };
  const hide = () => { at = -1; moved(-1); fill(tip); };
  const select = (/** @type {number} */ to) => {
    const [a, b] = [Math.min(from, to), Math.max(from, to)];
    range.setAttribute('x', String(x(a)));
    range.setAttribute('width', String(Math.max(0, x(b) - x(a))));
  };
  const take = () => {
    const [a, b] = [Math.min(from, at), Math.max(from, at)];
    range.setAttribute('width', '0');
    from = -1;
    if (a >= 0 && b > a) line.choose?.(line.points[a], line.points[b]);
  };
  const nearest = (/** @type {PointerEvent} */ event) => {
    const box = chart.getBoundingClientRect();
    return Math.max(0, Math.min(n - 1, Math.round((event.clientX - box.left - LEFT) / Math.max(1, W - LEFT - RIGHT) * (n - 1))));
  };
  if (!n) return;
  if (at >= 0 && at < n) show(at);
  chart.addEventListener('pointermove', (/** @type {PointerEvent} */ event) => { const i = nearest(event); show(i); if (from >= 0) select(i); });
  chart.addEventListener('pointerdown', (/** @type {PointerEvent} */ event) => { if (line.choose && event.pointerType === 'mouse' && !event.button) { from = nearest(event); chart.setPointerCapture(event.pointerId); } });
  chart.addEventListener('pointerup', take);
  chart.addEventListener('pointerleave', () => { if (document.activeElement !== chart) hide(); });
  chart.addEventListener('blur', hide);
  chart.addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => {
    const step = /** @type {Record<string, number>} */ ({ArrowRight: 1, ArrowLeft: -1, Home: -n, End: n})[event.key];
    if (event.key === 'Enter' && from >= 0) { event.preventDefault(); return take(); }
    if (event.key === 'Escape' && from >= 0) { from = -1; range.setAttribute('width', '0'); return; }
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const start = at < 0 ? n - 1 : at, next = Math.max(0, Math.min(n - 1, at < 0 ? n - 1 : at + step));
    if (event.shiftKey && line.choose && from < 0) from = start;
    show(next);
    if (from >= 0) select(next);
    const point = line.points[next], words = said(point, line);
    say(`${nameOf(point.time, line, true)}: ${words.value}${words.before ? `, ${words.before}` : ''}${from >= 0 ? '. Enter selects the range' : ''}`);
  });
}

/** @param {Line} line @param {number} i @param {any} place */
function tipOf(line, i, {W, H, x, y}) {
  const point = line.points[i], words = said(point, line), wide = Math.min(190, W - LEFT - RIGHT), tall = words.before ? 64 : 48;
  const left = x(i) > W / 2 ? Math.max(2, x(i) - wide - 12) : Math.min(W - wide - 2, x(i) + 12), top = TOP + 6;
  return [
    svg('line', {class: 'hover', x1: x(i), x2: x(i), y1: TOP, y2: H - BOTTOM}),
    point.before != null && svg('circle', {class: 'tip2', cx: x(i), cy: y(point.before), r: 3}),
    point.value != null && svg('circle', {class: 'tip', cx: x(i), cy: y(point.value), r: 4}),
    svg('rect', {class: 'tipbox', x: left, y: top, width: wide, height: tall, rx: 8}),
    svg('text', {class: 'ts', x: left + 12, y: top + 19}, nameOf(point.time, line, true)),
    svg('text', {class: 'tt', x: left + 12, y: top + 37}, words.value),
    words.before && svg('text', {class: 'ts', x: left + 12, y: top + 54}, words.before),
  ];
}
