// When visitors come: the hours of a week as squares or a table, and days by device.

import {h, svg, fill} from '../dom.js';
import {number, shortDay, value} from '../format.js';
import {table} from '../table.js';

const DAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];
const LONG = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'];
const LEFT = 36, CELL = 22, HIGH = 24;

/** @param {number} hour */
const two = hour => String(hour).padStart(2, '0');

/** Counts by weekday and hour. @param {any} answer of `group=hour_of_week` @param {string} metric */
function grid(answer, metric) {
  const counts = Array.from({length: 7}, () => Array(24).fill(0));
  for (const row of answer.rows) counts[Math.floor(row.hour_of_week / 24)][row.hour_of_week % 24] = row[metric] ?? 0;
  return counts;
}

/** "most on Sunday at 20". @param {number[][]} counts */
function summary(counts) {
  const all = counts.flat(), at = all.indexOf(Math.max(...all));
  return all[at] ? `most on ${LONG[Math.floor(at / 24)]} at ${two(at % 24)}` : 'none yet';
}

/** Squares, darker where there is more. @param {any} answer @param {string} metric @param {string} unit */
export function heat(answer, metric, unit) {
  const counts = grid(answer, metric), top = Math.max(1, ...counts.flat());
  const shade = (/** @type {number} */ count) => (count ? Math.min(4, Math.max(1, Math.ceil(count / top * 4))) : 0);
  const square = (/** @type {number} */ day, /** @type {number} */ hour) => svg('rect', {class: `h${shade(counts[day][hour])}`, x: LEFT + hour * CELL, y: day * HIGH, width: CELL - 3, height: HIGH - 3, rx: 4},
    svg('title', {}, `${LONG[day]}, ${two(hour)} to ${two((hour + 1) % 24)}: ${number(counts[day][hour])} ${unit}`));
  return svg('svg', {class: 'heat', viewBox: `0 0 ${LEFT + 24 * CELL} ${7 * HIGH + 20}`, role: 'img', 'aria-label': `${unit[0].toUpperCase() + unit.slice(1)} by weekday and hour: ${summary(counts)}`},
    DAYS.map((day, y) => [svg('text', {x: 0, y: y * HIGH + 15}, day), counts[y].map((_, hour) => square(y, hour))]),
    [0, 3, 6, 9, 12, 15, 18, 21].map(hour => svg('text', {x: LEFT + hour * CELL + 1, y: 7 * HIGH + 15}, two(hour))));
}

/** The same numbers as a table, an hour a row. @param {any} answer @param {string} metric @param {string} unit */
export function hoursTable(answer, metric, unit) {
  const counts = grid(answer, metric);
  return table({caption: `${unit} by hour and weekday`, rows: Array.from({length: 24}, (_, hour) => hour), columns: [
    {name: 'hour', title: 'Hour', show: hour => `${two(hour)}–${two((hour + 1) % 24)}`},
    ...DAYS.map((day, at) => ({name: day, title: day, number: true, show: (/** @type {number} */ hour) => number(counts[at][hour])})),
  ]});
}

/** Days by device, the newest first. @param {any} answer of `group=time,device` @param {string} metric @param {number} now ms */
export function daysTable(answer, metric, now) {
  const devices = [...new Set(answer.rows.filter((/** @type {any} */ row) => row[metric]).map((/** @type {any} */ row) => row.device))];
  /** @type {Map<string, Record<string, number>>} */
  const days = new Map();
  for (const row of answer.rows) {
    if (!days.has(row.time)) days.set(row.time, {});
    /** @type {any} */ (days.get(row.time))[row.device] = row[metric] ?? 0;
  }
  const rows = [...days].map(([time, counts]) => ({time, counts, all: devices.reduce((sum, device) => sum + (counts[device] ?? 0), 0)})).filter(row => Date.parse(row.time) <= now);
  const sum = (/** @type {(row: any) => number} */ of) => number(rows.reduce((total, row) => total + of(row), 0));
  const last = rows.reduce((latest, row) => (row.time > latest ? row.time : latest), '');
  return table({caption: 'Devices day by day', rows, sort: 'time', columns: [
    {name: 'time', title: 'Day', sort: row => Date.parse(row.time), show: row => [shortDay(row.time, answer.tz), row.time === last && h('small', {}, ' so far')]},
    ...devices.map(device => ({name: device ?? '', title: value('device', device), number: true, sort: (/** @type {any} */ row) => row.counts[device] ?? 0, show: (/** @type {any} */ row) => number(row.counts[device] ?? 0)})),
    {name: 'all', title: 'All', number: true, sort: row => row.all, show: row => number(row.all)},
  ], foot: ['All', ...devices.map(device => sum(row => row.counts[device] ?? 0)), sum(row => row.all)]});
}

/**
 * A place that shows one of two views of the same answer, and the buttons that choose between them.
 * @param {(name: string) => any} view
 */
export function swapped(view) {
  const place = h('div', {});
  let name = 'chart';
  const draw = () => fill(place, view(name));
  return {place, draw, choose: (/** @type {string} */ next) => { name = next; draw(); }};
}
