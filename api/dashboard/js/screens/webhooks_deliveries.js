// The deliveries of a webhook: filtered by state, type and day, newest first, each with its drawer.

import {h, fill, typed, whenFree} from '../dom.js';
import {get, poll} from '../api.js';
import {card, empty, problemView, skeleton} from '../card.js';
import {now} from '../clock.js';
import {button, segments, tag} from '../controls.js';
import {clock, dateTime, day, duration, hour, plural, relative, shortDay} from '../format.js';
import {tellProblem} from '../toast.js';
import {change, href} from '../url.js';
import {deliveryDrawer} from './webhooks_delivery.js';
import {DELIVERY, answerOf, isTaken} from './webhooks_state.js';

const EVERY_MS = 5000, PAGE = 50, TRIES = 8, DAY_MS = 86_400_000, SOON_MS = 10_000;
const STATES = /** @type {[string, string][]} */ ([['', 'All'], ['pending', 'Waiting'], ['failed', 'Failed'], ['delivered', 'Delivered']]);

/** @param {any} view with `state`, `path`, `refresh` */
export function deliveriesCard(view) {
  const place = h('div', {}, skeleton('w9', 'w8', 'w9', 'w8')), tools = h('span', {class: 'tools'}), more = button('Show more', {class: 'more show', hidden: true, onclick: () => next()});
  const element = card('Deliveries', {class: 'c8', right: tools}, place, more);
  const shown = {older: /** @type {any[]} */ ([]), types: /** @type {string[]} */ ([]), page: /** @type {any} */ (null), cursor: /** @type {string | null} */ (null), drawer: /** @type {any} */ (null)};
  const items = () => [...(shown.page?.items ?? []), ...shown.older.filter(each => !shown.page?.items.some((/** @type {any} */ item) => item.id === each.id))];
  const draw = () => {
    fill(place, items().length ? tableOf(items()) : empty(emptyText(view.state.query)));
    more.hidden = !shown.cursor;
  };
  const polling = poll(() => get(pathOf(view)), EVERY_MS, data => {
    if (data === shown.page) return;
    if (!shown.older.length) shown.cursor = data.next_cursor;
    shown.page = data;
    whenFree(draw);
  }, problem => { if (!shown.page) fill(place, problemView(problem, () => polling.now())); });
  async function next() {
    try {
      const answer = await get(`${pathOf(view)}&cursor=${encodeURIComponent(shown.cursor ?? '')}`);
      shown.older = [...shown.older, ...answer.items];
      shown.cursor = answer.next_cursor;
      draw();
    } catch (problem) { tellProblem(problem); }
  }
  function drawTools() {
    const {query} = view.state, date = query.get('day'), type = query.get('type') ?? '';
    fill(tools, date && button([shortDay(date, 'UTC'), ' ×'], {class: 'small', 'aria-label': `Deliveries of ${shortDay(date, 'UTC')}. Show all days`, onclick: () => change({day: null})}),
      segments('State', STATES, query.get('state') ?? '', one => change({state: one || null})),
      h('select', {class: 'smallsel', 'aria-label': 'Type', onchange: (/** @type {any} */ event) => change({type: event.target.value || null})}, h('option', {value: ''}, 'Any type'), [...new Set([...shown.types, ...(type ? [type] : [])])].map(name => h('option', {value: name, selected: name === type}, name))));
  }
  function openDrawer() {
    const id = view.state.query.get('delivery');
    if (!id || shown.drawer) return;
    shown.drawer = deliveryDrawer(view, id, items, () => { shown.drawer = null; if (!view.over && view.state.query.get('delivery')) change({delivery: null}, {replace: true}); });
  }
  let asked = pathOf(view);
  drawTools();
  openDrawer();
  return {
    element,
    now: () => polling.now(),
    types(/** @type {any[]} */ all) { shown.types = all.map(type => type.name); drawTools(); },
    update() {
      drawTools();
      if (pathOf(view) !== asked) { asked = pathOf(view); shown.older = []; shown.page = null; polling.now(); }
      if (view.state.query.get('delivery')) openDrawer();
      else shown.drawer?.close();
    },
    end() { polling.stop(); shown.drawer?.close(); },
  };
}

/** The question for the page that the URL describes. @param {any} view */
function pathOf({path, state: {query}}) {
  const names = new URLSearchParams({limit: String(PAGE)}), date = query.get('day');
  for (const name of ['state', 'type']) if (query.get(name)) names.set(name, query.get(name));
  if (date && /^\d{4}-\d\d-\d\d$/.test(date) && Date.parse(date)) {
    names.set('from', date);
    names.set('to', new Date(Date.parse(date) + DAY_MS).toISOString().slice(0, 10));
  }
  return `${path}/deliveries?${names}`;
}

/** @param {URLSearchParams} query */
const emptyText = query => (['state', 'type', 'day'].some(name => query.get(name)) ? 'No delivery is like that.' : 'Nothing was sent yet. “Send test” sends the first.');

const HEAD = [['When', ''], ['Event', ''], ['Tries', 'opt'], ['Answer', 'opt'], ['Took', 'opt r2'], ['State', '']];

/** @param {any[]} items */
const tableOf = items => h('div', {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Table of deliveries'}, h('table', {class: 'dl'}, h('caption', {class: 'vh'}, 'Deliveries, newest first'),
  h('thead', {}, h('tr', {}, HEAD.map(([text, more]) => h('th', {scope: 'col', class: more || null}, text)))), h('tbody', {}, items.map(row))));

/** The time of today, or the day with it. @param {string} time */
const whenOf = time => (day(time) === day(now()) ? clock(time) : `${shortDay(time)}, ${hour(time)}`);

/** @param {any} item */
function row(item) {
  const last = item.attempts.at(-1), after = item.state === 'pending' && last && Date.parse(item.next_attempt_at) > now() + SOON_MS ? relative(item.next_attempt_at, now()) : item.state === 'failed' ? 'given up' : '';
  return h('tr', {}, h('td', {class: 'flat'}, h('time', {datetime: item.occurred_at, title: dateTime(item.occurred_at)}, whenOf(item.occurred_at))), h('td', {}, h('a', {href: () => href({delivery: item.id})}, typed(item.type))), h('td', {class: 'opt'}, pips(item)),
    h('td', {class: last && !isTaken(last) ? 'opt down' : 'opt'}, last ? answerOf(last) : '–'), h('td', {class: 'opt r2 flat'}, last ? duration(last.duration_ms / 1000) : '–'), h('td', {}, h('span', {class: 'flat opt'}, after, ' '), tag(...DELIVERY[item.state])));
}

/** A square for each try: those that failed, the one that was taken, those that are left. @param {any} item */
function pips({attempt_count: count, state}) {
  const squares = Math.min(TRIES, Math.max(count, state === 'pending' ? TRIES : 1));
  return h('span', {class: 'pips', role: 'img', 'aria-label': plural(count, 'try', 'tries')}, Array.from({length: squares}, (_, i) => h('i', {class: i >= count ? null : i === count - 1 && state === 'delivered' ? 'o' : 'f'})));
}
