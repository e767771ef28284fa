// A key's drawer: when it was used, what it was refused, what it has changed, and its end.

import {h, fill, typed} from '../dom.js';
import {change as send, get} from '../api.js';
import {profiles} from '../account.js';
import {problemView, skeleton} from '../card.js';
import {ago, now} from '../clock.js';
import {button, tag} from '../controls.js';
import {confirm, drawer} from '../dialog.js';
import {minuteBars} from '../figures.js';
import {clock, dateTime, day, plural, shortDay, words} from '../format.js';
import {nameOf} from '../shell.js';
import {tellProblem, toast} from '../toast.js';
import {pathOf} from '../url.js';

const DAY_MS = 86_400_000, DAYS = 30, PAGES = 8, CHANGES = 10;

/** @param {any} key @param {['' | 'ok' | 'warn' | 'bad', string]} end @param {() => void} load @param {() => void} closed */
export function keyDrawer(key, [kind, endWords], load, closed) {
  const uses = h('div', {}, skeleton('w9', 'w8')), changes = h('div', {}, skeleton('w9', 'w8'));
  const part = (/** @type {string} */ title, /** @type {any} */ note, /** @type {any[]} */ ...children) => h('section', {class: 'part'}, h('h3', {}, title, h('span', {class: 'r'}, note)), children);
  const box = drawer(key.label || 'Without a name', [
    part('The key', '', h('dl', {class: 'kv'}, h('dt', {}, 'Begins with'), h('dd', {class: 'mono'}, key.prefix), h('dt', {}, 'It may'), h('dd', {}, key.scopes.join(', ')), h('dt', {}, 'Made'), h('dd', {}, ago(key.created_at, dateTime(key.created_at))),
      h('dt', {}, 'Last used'), h('dd', {}, key.last_used_at ? ago(key.last_used_at, dateTime(key.last_used_at)) : 'never'), h('dt', {}, 'Its end'), h('dd', {}, key.expires_at ? dateTime(key.expires_at) : 'none'), h('dt', {}, 'Pages that may use it'), h('dd', {}, key.origins.length ? typed(key.origins.join(', ')) : 'none'))),
    part('Uses', `the last ${DAYS} days`, uses), part('Changes', '', changes),
    part('Revoke', '', h('p', {class: 'note'}, 'It stops working at once; on other machines within 5 seconds.'), h('div', {class: 'rowb'}, button('Revoke…', {class: 'danger', onclick: revoke}))),
  ], {sub: kind ? tag(kind, endWords) : endWords, closed});
  drawUses(uses, key);
  drawChanges(changes, key);

  async function revoke() {
    if (!await confirm('Revoke this key?', 'What uses it is refused from now on. This cannot be taken back.', 'Revoke')) return;
    try {
      await send('DELETE', `/v1/keys/${key.id}`);
      box.close();
      toast('The key is revoked');
    } catch (problem) { tellProblem(problem); }
    load();
  }
  return box;
}

/** The events of a key since some days ago, newest first. @param {any} key */
async function eventsOf(key) {
  const since = now() - DAYS * DAY_MS, events = [];
  let cursor = null;
  for (let page = 0; page < PAGES; page++) {
    const answer = await get(`/v1/security-events?limit=100&key_id=${key.id}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`);
    events.push(...answer.items.filter((/** @type {any} */ event) => Date.parse(event.at) >= since));
    cursor = answer.next_cursor;
    if (!cursor || Date.parse(answer.items.at(-1).at) < since) break;
  }
  return events;
}

/** @param {HTMLElement} place @param {any} key */
async function drawUses(place, key) {
  try {
    const events = await eventsOf(key), used = events.filter(event => event.kind === 'key.used'), refused = events.filter(event => event.kind !== 'key.used');
    const days = Array.from({length: DAYS}, (_, i) => now() - (DAYS - 1 - i) * DAY_MS), counts = days.map(time => used.filter(event => day(event.at) === day(time)).length);
    const busy = counts.filter(Boolean).length;
    fill(place, used.length ? [h('p', {}, `In use during ${plural(used.length, 'hour')} on ${plural(busy, 'day')}.`), minuteBars(counts, `Hours in use a day: ${plural(used.length, 'hour')} in ${DAYS} days`), h('p', {class: 'axis', 'aria-hidden': 'true'}, h('span', {}, shortDay(days[0])), h('span', {}, 'today'))] : h('p', {class: 'note'}, 'Not used in these days.'),
      refused.length ? h('table', {class: 'list refused'}, h('caption', {}, 'What it was refused'), h('thead', {}, h('tr', {}, ['When', 'Why', 'What'].map(title => h('th', {scope: 'col'}, title)))), h('tbody', {}, refused.slice(0, CHANGES).map(refusal))) : used.length ? h('p', {class: 'note'}, 'Nothing was refused.') : null);
  } catch (problem) {
    if (!('status' in /** @type {any} */ (problem))) throw problem;
    fill(place, problemView(problem, () => drawUses(place, key)));
  }
}

/** @param {any} event */
const refusal = ({at, kind, times, detail}) => h('tr', {}, h('th', {scope: 'row'}, h('time', {datetime: at, title: dateTime(at)}, `${shortDay(at)}, ${clock(at)}`)), h('td', {}, words(kind), times > 1 ? ` ×${times}` : ''), h('td', {class: 'mono'}, typed([detail.method, detail.route].filter(Boolean).join(' ') || '–')));

/** What the key has changed, profile by profile: each has a log of its own. @param {HTMLElement} place @param {any} key */
async function drawChanges(place, key) {
  const list = h('ul', {class: 'changes'}), known = await profiles().catch(() => []);
  const choice = h('select', {'aria-label': 'Profile', onchange: () => load()}, known.map(profile => h('option', {value: profile.id}, nameOf(profile))));
  if (!known.length) return fill(place, h('p', {class: 'note'}, 'You have no profile yet.'));
  fill(place, known.length > 1 ? choice : null, list);
  async function load() {
    const profile = known.find(each => each.id === choice.value) ?? known[0];
    fill(list, h('li', {}, skeleton('w8')));
    try {
      const {items, next_cursor: more} = await get(`/v1/profiles/${profile.id}/activity?limit=${CHANGES}&key_id=${key.id}`);
      fill(list, items.length ? items.map((/** @type {any} */ entry) => h('li', {}, h('span', {}, words(entry.action)), h('small', {}, ago(entry.at, dateTime(entry.at))))) : h('li', {class: 'note'}, 'It has changed nothing in this profile.'),
        more || items.length ? h('li', {}, h('a', {class: 'under', href: `${pathOf(profile, 'activity')}?key=${key.id}`}, 'All in the log')) : null);
    } catch (problem) {
      if (!('status' in /** @type {any} */ (problem))) throw problem;
      fill(list, h('li', {}, problemView(problem, load)));
    }
  }
  await load();
}
