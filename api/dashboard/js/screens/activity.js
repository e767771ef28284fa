// The log of a profile's changes: who changed what and when, and what it was before. The filter is in the URL.

import {h, fill, typed} from '../dom.js';
import {get} from '../api.js';
import {card, empty, problemView, skeleton, top} from '../card.js';
import {ago} from '../clock.js';
import {button, linkButton, tag} from '../controls.js';
import {dateTime, longDay, plural, words} from '../format.js';
import {paged} from '../table.js';
import {copy, say} from '../toast.js';
import {chainTools} from './activity_chain.js';
import {change, pathOf} from '../url.js';

const PAGE = 50;
const TYPES = /** @type {[string, string][]} */ ([['', 'Everything'], ['link', 'Links'], ['page', 'The page'], ['profile', 'The profile'], ['subscriber', 'Left addresses'], ['member', 'Members'], ['invitation', 'Invitations'], ['experiment', 'Experiments'], ['webhook', 'Webhooks'], ['domain', 'Domains'], ['asset', 'Files']]);
const FILTERS = ['type', 'action', 'object', 'user', 'key', 'from', 'to'];
// What a field of an entry is called where its code is no word.
const FIELDS = /** @type {Record<string, string>} */ ({id: 'Id', raw_retention_days: 'Days that single clicks are kept', click_id: 'Click id', passthrough: 'Passes its query on'});

/** @type {any} */
let view = null;

/** @param {HTMLElement} root @param {import('../url.js').State} state */
export function show(root, state) {
  const head = top('Activity');
  root.append(head);
  if (state.role === 'viewer') return root.append(card('The log', {}, empty('Owners, admins and editors see who changed what.')));
  const tools = h('div', {class: 'filters', role: 'search', 'aria-label': 'Filter the log'}), place = h('div', {}, skeleton('w8', 'w9', 'w7', 'w9', 'w8')), list = h('div', {class: 'log'});
  const chain = chainTools(state.profile);
  head.append(linkButton('Export CSV', {icon: 'download', download: '', href: () => `/v1/profiles/${state.profile.id}/activity/export?${new URLSearchParams({format: 'csv', ...filterOf(new URLSearchParams(location.search))})}`}));
  root.append(tools, h('div', {class: 'rowb verify'}, chain.press), chain.place, card('Changes', {class: 'plainhead'}, place));
  const pages = paged(cursor => get(`/v1/profiles/${view.state.profile.id}/activity?${new URLSearchParams({limit: String(PAGE), ...filterOf(view.state.query), ...(cursor ? {cursor} : {})})}`), draw);
  view = {state, tools, place, list, pages, people: []};
  drawTools();
  begin(view);
}

/** Read who the members are, for their names, then the log. @param {any} mine the view that asks */
async function begin(mine) {
  const page = await get(`/v1/profiles/${mine.state.profile.id}/members?limit=100`).catch(() => ({items: []}));
  if (view !== mine) return; // the reader has gone elsewhere
  mine.people = page.items;
  drawTools();
  load();
}

/** @param {import('../url.js').State} state */
export function update(state) {
  if (!view) return;
  view.state = state;
  drawTools();
  load();
}

export function leave() {
  view = null;
}

async function load() {
  const mine = view;
  try {
    await mine.pages.restart();
  } catch (problem) {
    if (!('status' in /** @type {any} */ (problem))) throw problem;
    if (view === mine) fill(mine.place, problemView(problem, load));
  }
}

/** The API's parameters of the URL's filter. Days are the reader's; the last one is included. @param {URLSearchParams} query */
function filterOf(query) {
  const filter = /** @type {Record<string, string>} */ ({}), names = /** @type {[string, string][]} */ ([['type', 'object_type'], ['action', 'action'], ['object', 'object_id'], ['user', 'user_id'], ['key', 'key_id']]);
  for (const [name, parameter] of names) if (query.get(name)) filter[parameter] = query.get(name) ?? '';
  const from = midnight(query.get('from'), 0), to = midnight(query.get('to'), 1);
  if (from) filter.from = from;
  if (to) filter.to = to;
  return filter;
}

/** The instant at which a day of the reader's begins, `later` days after it. @param {string | null} day @param {number} later */
function midnight(day, later) {
  const [year, month, date] = (day ?? '').split('-').map(Number), time = new Date(year, month - 1, date + later);
  return Number.isNaN(time.getTime()) ? '' : time.toISOString();
}

function drawTools() {
  const {query} = view.state, pick = (/** @type {string} */ label, /** @type {string} */ name, /** @type {[string, any][]} */ items) => h('select', {'aria-label': label, onchange: (/** @type {any} */ event) => change({[name]: event.target.value || null})}, items.map(([value, text]) => h('option', {value, selected: value === (query.get(name) ?? '')}, text)));
  const day = (/** @type {string} */ label, /** @type {string} */ name) => h('label', {class: 'day'}, label, h('input', {type: 'date', value: query.get(name) ?? '', onchange: (/** @type {any} */ event) => change({[name]: event.target.value || null})}));
  const set = FILTERS.some(name => query.get(name)), object = query.get('object');
  fill(view.tools, pick('What was changed', 'type', TYPES), pick('Who changed it', 'user', [['', 'Anybody'], ...view.people.map((/** @type {any} */ person) => [person.user_id, person.name || person.email])]),
    day('From', 'from'), day('to', 'to'), query.get('action') && h('span', {class: 'tag info'}, words(query.get('action'))), object && h('span', {class: 'tag info'}, 'of one object'), query.get('key') && h('span', {class: 'tag info'}, 'by one API key'),
    set && button('Show all', {icon: 'x', class: 'small', onclick: () => change(Object.fromEntries(FILTERS.map(name => [name, null])))}));
}

/** @param {any[]} entries */
function draw(entries) {
  if (!view) return;
  say(plural(entries.length, 'change'));
  if (!entries.length) return fill(view.place, empty(FILTERS.some(name => view.state.query.get(name)) ? 'No change is like that.' : 'Nothing was changed yet.'));
  const days = new Map();
  for (const entry of entries) {
    const day = longDay(entry.at);
    if (!days.has(day)) days.set(day, []);
    days.get(day).push(entry);
  }
  fill(view.list, [...days].map(([day, ofDay]) => [h('h2', {class: 'logday'}, day), h('ul', {}, ofDay.map(row))]));
  fill(view.place, view.list, view.pages.more);
}

/** @param {any} entry */
function row(entry) {
  const {profile} = view.state, [, verb] = /** @type {string[]} */ (entry.action.split('.')), name = nameOf(entry);
  const kind = /** @type {'ok' | 'bad' | 'info' | ''} */ (verb === 'created' ? 'ok' : verb === 'deleted' ? 'bad' : verb === 'updated' ? 'info' : '');
  const details = h('details', {}, h('summary', {}, h('span', {class: 'what'}, tag(kind, words(entry.action)), name && typed(name)), h('span', {class: 'by'}, who(entry)), h('span', {class: 'when'}, ago(entry.at, dateTime(entry.at)))));
  details.addEventListener('toggle', () => {
    if (!details.open || details.children.length > 1) return;
    const alive = entry.after && entry.object_type === 'link';
    details.append(h('div', {class: 'entry'}, difference(entry),
      h('dl', {class: 'kv facts2'}, [['When', dateTime(entry.at)], ['Entry', entry.id], ['Hash', h('span', {class: 'mono'}, entry.hash)], entry.key_id && ['API key', h('span', {class: 'mono'}, entry.key_id)], entry.request_id && ['Request', h('span', {class: 'mono'}, entry.request_id)]].filter(Boolean).map(([title, value]) => [h('dt', {}, title), h('dd', {}, value)])),
      h('div', {class: 'rowb'}, button('Only this object', {class: 'small', onclick: () => change({object: entry.object_id, type: entry.object_type, action: null})}), button('Only such changes', {class: 'small', onclick: () => change({action: entry.action, type: null, object: null})}),
        alive && linkButton('See the link', {class: 'small', href: pathOf(profile, 'links', entry.object_id)}), entry.request_id && button('Copy request id', {icon: 'copy', class: 'small', onclick: () => copy(entry.request_id)}))));
  });
  return h('li', {}, details);
}

/** Who made a change, as far as the reader may know. @param {any} entry */
function who(entry) {
  const person = entry.user && view.people.find((/** @type {any} */ each) => each.user_id === entry.user.id);
  const name = person?.name || entry.user?.email || (entry.user ? 'somebody who has left' : 'Waypost');
  return [typed(name), entry.key_id && ' by an API key'];
}

/** What an entry's object is called: of its fields that people see. @param {any} entry */
function nameOf(entry) {
  const fields = {...entry.before, ...entry.after}, member = view.people.find((/** @type {any} */ each) => each.user_id === fields.user_id);
  return String(member?.name || member?.email || fields.title || fields.name || fields.email || fields.slug || fields.handle || fields.hostname || fields.url || fields.description || '');
}

/** The fields that differ, before and after. @param {any} entry */
function difference({before, after}) {
  const names = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])].filter(name => (before && after ? JSON.stringify(before[name]) !== JSON.stringify(after[name]) : filled((before ?? after)[name])));
  if (!names.length) return h('p', {class: 'note'}, 'The entry names no fields.');
  const cell = (/** @type {any} */ fields, /** @type {string} */ name, /** @type {string} */ mark) => fields && h('td', {}, filled(fields[name]) ? h(mark, {}, typed(valueOf(fields[name]))) : h('span', {class: 'flat'}, 'none'));
  return h('div', {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'What was changed'}, h('table', {class: 'diff'}, h('caption', {class: 'vh'}, 'What was changed'),
    h('thead', {}, h('tr', {}, h('th', {scope: 'col'}, 'Field'), before && h('th', {scope: 'col'}, 'Before'), after && h('th', {scope: 'col'}, 'After'))),
    h('tbody', {}, names.map(name => h('tr', {}, h('th', {scope: 'row'}, FIELDS[name] ?? words(name)), cell(before, name, 'del'), cell(after, name, 'ins'))))));
}

/** @param {any} value */
const filled = value => value != null && value !== '' && !(Array.isArray(value) && !value.length);

/** @param {any} value */
function valueOf(value) {
  if (value === true) return 'yes';
  if (value === false) return 'no';
  if (typeof value === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d/.test(value)) return dateTime(value);
  if (Array.isArray(value) && value.every(each => typeof each !== 'object')) return value.join(', ');
  // What is not there is left out: a reader has no word for it.
  return typeof value === 'object' ? JSON.stringify(value, (_, part) => part ?? undefined, 1) : String(value);
}
