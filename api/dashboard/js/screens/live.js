// Live: each click as it comes, the last hour by minutes, and the countries that light up.

import {h, fill, keyed, typed} from '../dom.js';
import {all, ask, get} from '../api.js';
import {asOf, card, empty, top} from '../card.js';
import {button, tag} from '../controls.js';
import {clock, number, plural, value} from '../format.js';
import {minuteBars} from '../figures.js';
import {onKey} from '../keys.js';
import {watch} from '../live.js';
import {say} from '../toast.js';
import {tileMap} from '../tiles.js';
import {now} from '../clock.js';
import {change, href, pathOf} from '../url.js';

const MINUTES = 60, SHOWN = 30, KEPT = 2000, REDRAW_MS = 5000, MINUTE_MS = 60_000, LATEST = 50;
const STATES = /** @type {Record<string, [string, '' | 'warn' | 'bad']>} */ ({open: ['Live', ''], waiting: ['Connecting again', 'warn'], closed: ['Not connected, trying again', 'bad']});

/** @type {any} */
let view = null;

/** @param {HTMLElement} root @param {import('../url.js').State} state */
export function show(root, state) {
  const {profile} = state, names = new Map([['0', 'The page']]), badge = h('span', {role: 'status'}, asOf('Connecting', 'warn'));
  const sum = h('strong', {}, '0'), words = h('span', {class: 'flat'}, 'clicks in the last minute'), bars = h('div', {class: 'body'}), note = h('p', {class: 'note', role: 'status'});
  const feed = h('ol', {class: 'feed', 'aria-label': 'Latest clicks'}), none = h('div', {}), map = h('div', {class: 'body'}), chips = h('div', {class: 'chips'}), links = h('ul', {class: 'bars'});
  const pause = button('Pause', {icon: 'pause', 'aria-pressed': 'false', class: 'main', onclick: () => hold(!view.paused)});
  root.append(top('Live', badge, pause), chips, h('div', {class: 'grid'}, card('Right now', {class: 'c4 full'}, h('div', {class: 'now wrap'}, sum, words), bars, h('div', {class: 'body'}, note)), card('Where from', {class: 'c8 full', right: 'clicks seen here'}, map),
    card('Latest clicks', {class: 'c8 full'}, none, feed), card('Which links', {class: 'c4 full'}, links)));
  view = {state, names, clicks: [], shown: [], paused: false, frame: 0, fresh: 0, minute: null, parts: {badge, sum, words, bars, note, feed, none, map, chips, links, pause}, ends: []};
  const endWatch = watch(profile.id, {
    click: take,
    minute(minute) { view.minute = minute; later(); },
    state(next) { fill(badge, asOf(...STATES[next])); },
    gap() { fill(note, 'Some clicks may be missing here: the stream was cut for a moment. The statistics have them all.'); },
  });
  const timer = setInterval(() => { if (!document.hidden) draw(); }, REDRAW_MS);
  view.ends = [endWatch, onKey('p', 'Hold or go on with the clicks', () => hold(!view.paused)), () => clearInterval(timer)];
  draw();
  before(profile);
}

/** @param {import('../url.js').State} state */
export function update(state) {
  view.state = state;
  draw();
}

export function leave() {
  for (const end of view?.ends ?? []) end();
  cancelAnimationFrame(view?.frame);
  view = null;
}

/** The clicks before the screen was opened, and the names of links. @param {any} profile */
async function before(profile) {
  const mine = view;
  const [links, recent] = await Promise.all([all(`/v1/profiles/${profile.id}/links`, 500).catch(() => []), ask(`/v1/profiles/${profile.id}/stats/batch`, {latest_clicks: LATEST}).catch(() => null)]); // the stream goes on without them
  if (mine !== view) return;
  for (const link of links) view.names.set(link.id, link.title || link.slug);
  const told = new Set(view.clicks.map((/** @type {any} */ click) => click.time));
  const older = (recent?.latest_clicks ?? []).filter((/** @type {any} */ click) => !told.has(click.time)).map((/** @type {any} */ click, /** @type {number} */ i) => ({...click, key: `${click.time}-${i}`}));
  view.clicks = [...view.clicks, ...older].sort((a, b) => Date.parse(b.time) - Date.parse(a.time)).slice(0, KEPT);
  draw();
}

/** A click of the stream. The latest clicks that were asked for may hold it already. @param {any} click */
function take(click) {
  const same = (/** @type {any} */ other) => !other.fresh && other.time === click.time && other.link === click.link;
  view.clicks = [{...click, key: `live-${++view.fresh}`, fresh: true}, ...view.clicks.filter((/** @type {any} */ other) => !same(other))].slice(0, KEPT);
  later();
  if (view.names.has(click.link)) return;
  const mine = view;
  view.names.set(click.link, 'A link');
  get(`/v1/links/${click.link}`).then(link => { if (mine === view) { view.names.set(click.link, link.title || link.slug); later(); } }, () => {}); // deleted meanwhile
}

/** @param {boolean} on */
function hold(on) {
  view.paused = on;
  view.shown = view.clicks;
  const {pause} = view.parts;
  pause.setAttribute('aria-pressed', String(on));
  pause.lastChild.textContent = on ? 'Go on' : 'Pause';
  say(on ? 'Held' : 'Going on');
  draw();
}

function later() {
  if (view) view.frame ||= requestAnimationFrame(() => { if (view) draw(); });
}

/** Whether a click passes the filters of the URL. @param {any} click */
function passes(click) {
  const {query} = view.state;
  return (!query.get('country') || click.country === query.get('country')) && (!query.get('link') || click.link === query.get('link'));
}

function draw() {
  view.frame = 0;
  const {parts, names, state} = view, at = now();
  const hour = view.clicks.filter((/** @type {any} */ click) => at - Date.parse(click.time) < MINUTES * MINUTE_MS && passes(click)), counts = Array(MINUTES).fill(0);
  for (const click of hour) counts[MINUTES - 1 - Math.max(0, Math.floor((at - Date.parse(click.time)) / MINUTE_MS))]++;
  const last = counts[MINUTES - 1];
  parts.sum.textContent = number(last);
  parts.words.textContent = `${plural(last, 'click').replace(/^\S+ /, '')} in the last minute, ${number(hour.length)} seen here`;
  fill(parts.bars, minuteBars(counts, `Clicks in each of the last ${MINUTES} minutes, the newest last: ${counts.join(', ')}`), h('div', {class: 'ends', 'aria-hidden': 'true'}, h('span', {}, `${MINUTES} min ago`), h('span', {}, 'now')));
  fill(parts.chips, ['country', 'link'].filter(name => state.query.get(name)).map(name => { const text = name === 'country' ? value('country', state.query.get(name)) : names.get(state.query.get(name)) ?? 'A link'; return h('span', {class: 'chip'}, typed(text), h('button', {type: 'button', 'aria-label': `Show more than ${text}`, onclick: () => change({[name]: null})}, '×')); }));
  parts.chips.hidden = !parts.chips.childElementCount;
  if (view.paused) return;
  const shown = view.clicks.filter(passes).slice(0, SHOWN);
  keyed(parts.feed, shown, click => click.key, row, (/** @type {any} */ item, /** @type {any} */ click) => { item.querySelector('a bdi').textContent = names.get(click.link) ?? 'A link'; });
  fill(parts.none, shown.length ? null : empty('Nothing yet. Each click will stand here within a second or two: when, which link, from where.'));
  drawHour(hour);
}

/** @param {any} click */
function row(click) {
  const {state, names} = view, where = [click.city?.split(', ')[0] ?? (click.country && value('country', click.country)), click.device && value('device', click.device).toLowerCase(), click.browser].filter(Boolean).join(' · ');
  return h('li', {class: click.fresh ? 'new' : null}, h('time', {datetime: click.time}, clock(click.time)), h('span', {class: 'w'}, h('a', {href: click.link === '0' ? pathOf(state.profile) : pathOf(state.profile, 'links', click.link)}, typed(names.get(click.link) ?? 'A link')), ' ', h('em', {}, where)), tag('', value('source', click.source ?? click.referrer)));
}

/** The map and the links of the hour. @param {any[]} hour */
function drawHour(hour) {
  const count = (/** @type {string} */ name) => { const counts = new Map(); for (const click of hour) counts.set(click[name], (counts.get(click[name]) ?? 0) + 1); return [...counts].sort((a, b) => b[1] - a[1]); };
  const places = count('country'), links = count('link').slice(0, 10), {parts, names} = view, key = JSON.stringify([places, links, [...names.values()].length]);
  if (view.drawn === key) return;
  view.drawn = key;
  fill(parts.map, tileMap(places.map(([country, value]) => ({country, value})), code => href({country: code})));
  fill(parts.links, links.length ? links.map(([id, clicks]) => h('li', {}, h('a', {class: 'row', href: href({link: id})}, h('span', {class: 't'}, typed(names.get(id) ?? 'A link')), h('span', {class: 'v'}, number(clicks)), h('span', {class: 'p'}, '')))) : h('li', {class: 'row'}, h('span', {class: 'note'}, 'No click yet.')));
}
