// Links: found, sorted and chosen; a link's drawer has its URL. Clicks and shapes are of the chosen period.

import {h, fill, icon, typed, whenFree} from '../dom.js';
import {ask, change as send, get, poll} from '../api.js';
import {asOf, card, empty, problemView, skeleton, top} from '../card.js';
import {button, linkButton, tag} from '../controls.js';
import {confirm, dialog} from '../dialog.js';
import {field, form} from '../form.js';
import {spark} from '../figures.js';
import {clock, number, plural, shortDay, signed, zone} from '../format.js';
import {onKey} from '../keys.js';
import {periodChoice} from '../period.js';
import {paged} from '../table.js';
import {copy, say, tellProblem, toast, undoable} from '../toast.js';
import {ago} from '../clock.js';
import {change, go, href, pathOf} from '../url.js';
import {linkDrawer, newLink} from './links_drawer.js';
import {importDialog} from './links_import.js';

const PAGE = 50, EVERY_MS = 20_000;
const SORTS = /** @type {[string, string][]} */ ([['-clicks', 'Most clicks'], ['-last_click', 'Last click'], ['-created', 'Newest'], ['title', 'Title'], ['position', 'Order on the page']]);
const STATES = /** @type {[string, string][]} */ ([['', 'All'], ['health=broken', 'Broken'], ['state=paused', 'Paused'], ['state=scheduled', 'Not yet active'], ['state=over', 'Over'], ['state=quarantined', 'Warned of'], ['hidden=true', 'Hidden']]);

/** @type {(() => void)[]} */
let ends = [];
/** @type {any} */
let view = null;

/** @param {HTMLElement} root @param {import('../url.js').State} state */
export function show(root, state) {
  view = build(root, state);
  view.polling = poll(() => shapes(), EVERY_MS, data => whenFree(() => drawShapes(data)), problem => fill(view.badge, asOf(problem.title ?? 'Not reached, trying again', 'warn')));
  ends = [() => view.polling.stop(), onKey('/', 'Search links', () => view.find.focus()), onKey('n', 'New link', () => change({new: '1'}))];
  load();
  openDrawer(state);
}

/** @param {import('../url.js').State} state */
export function update(state) {
  const before = listQuery(view.state.query), period = view.state.query.get('period');
  view.state = state;
  drawTools();
  openDrawer(state);
  if (listQuery(state.query) !== before) load();
  if (state.query.get('period') !== period) view.polling.now();
}

export function leave() {
  for (const end of ends) end();
  ends = [];
  view?.drawer?.close();
}

/** @param {import('../url.js').State} state */
function openDrawer(state) {
  const {id} = state.params;
  if (id && view.drawer?.dataset.link !== id) {
    view.drawer?.close();
    view.drawer = linkDrawer(state, id, changed, () => { view.drawer = null; if (view.state.params.id === id) go(pathOf(state.profile, 'links') + location.search, {replace: true}); });
    view.drawer.dataset.link = id;
  } else if (state.query.get('new') && !view.drawer && state.role !== 'viewer') {
    view.drawer = newLink(state, changed, () => { view.drawer = null; if (view.state.query.get('new')) change({new: null}, {replace: true}); });
  }
}

/** A link was made or changed: show the list as it is. */
function changed() {
  load();
  view.polling.now();
}

/** The parameters of the list. @param {URLSearchParams} query */
function listQuery(query) {
  const list = new URLSearchParams({limit: String(PAGE), sort: query.get('sort') ?? '-clicks', period: query.get('period') === '365d' ? '365d' : query.get('period') ?? '30d', include: 'clicks,last_click'});
  for (const name of ['q', 'tag', 'state', 'health', 'hidden']) if (query.get(name)) list.set(name, query.get(name) ?? '');
  return list.toString();
}

/** @param {HTMLElement} root @param {import('../url.js').State} state */
function build(root, state) {
  const badge = h('span', {role: 'status'}), choice = h('span', {class: 'choice'}), tools = h('div', {}), tags = h('div', {});
  const list = h('ul', {class: 'lrows', 'aria-label': 'Links'}), place = h('div', {}, skeleton('w9', 'w8', 'w9', 'w8', 'w9', 'w7')), writes = state.role !== 'viewer';
  const find = h('input', {type: 'search', placeholder: 'Title, address or target', 'aria-label': 'Search links', value: state.query.get('q') ?? '', oninput: () => { clearTimeout(view.typing); view.typing = setTimeout(() => change({q: find.value.trim() || null}, {replace: true}), 200); }});
  const bulk = h('div', {class: 'bulk', role: 'toolbar', 'aria-label': 'For the chosen links', hidden: true});
  root.append(top('Links', badge, choice, writes && button('Import', {icon: 'upload', 'aria-haspopup': 'dialog', onclick: () => importDialog(state, changed)}), writes && linkButton('New link', {icon: 'plus', class: 'main', href: () => href({new: '1'})})),
    h('div', {class: 'tools', role: 'search'}, h('div', {class: 'searchbox'}, icon('search'), find), tools), tags, card('', {class: 'plainhead'}, place), bulk);
  const rows = paged(cursor => get(`/v1/profiles/${state.profile.id}/links?${listQuery(view.state.query)}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`), drawList);
  view = {root, state, badge, choice, tools, tags, place, list, find, bulk, rows, items: [], chosen: new Set(), shapes: new Map(), polling: null, drawer: null, typing: 0, lastBox: -1};
  drawTools();
  return view;
}

async function load() {
  const mine = view;
  try {
    await mine.rows.restart();
    say(plural(view.items.length, 'link'));
  } catch (problem) {
    if (!('status' in /** @type {any} */ (problem))) throw problem;
    fill(mine.place, problemView(problem, load));
  }
}

function drawTools() {
  const {query} = view.state, chosen = STATES.find(([one]) => one && query.get(one.split('=')[0]) === one.split('=')[1])?.[0] ?? '';
  fill(view.choice, periodChoice(query));
  const pick = (/** @type {string} */ label, /** @type {[string, string][]} */ items, /** @type {string} */ now, /** @type {(one: string) => void} */ act) => h('select', {'aria-label': label, onchange: (/** @type {any} */ event) => act(event.target.value)}, items.map(([one, words]) => h('option', {value: one, selected: one === now}, words)));
  fill(view.tools, pick('Show', STATES, chosen, one => change({state: null, health: null, hidden: null, ...(one ? {[one.split('=')[0]]: one.split('=')[1]} : {})})), pick('Sort by', SORTS, query.get('sort') ?? '-clicks', one => change({sort: one === '-clicks' ? null : one})));
}

/** @param {any[]} items */
function drawList(items) {
  view.items = items;
  for (const id of view.chosen) if (!items.some(item => item.id === id)) view.chosen.delete(id);
  const {query, role} = view.state, filtered = ['q', 'tag', 'state', 'health', 'hidden'].some(name => query.get(name));
  if (!items.length) {
    return fill(view.place, filtered ? empty('No link is like that.', button('Show all', {class: 'small', onclick: () => { view.find.value = ''; change({q: null, tag: null, state: null, health: null, hidden: null}); }}))
      : empty('There are no links yet. The first one takes a target and a click.', role !== 'viewer' && linkButton('New link', {icon: 'plus', class: 'main', href: () => href({new: '1'})})));
  }
  drawTags(items);
  const head = h('div', {class: 'lrow head', 'aria-hidden': 'true'}, h('span', {}), h('span', {}), h('span', {}, 'Link'), h('span', {class: 'c-tags'}, 'Tags'), h('span', {}, 'Shape'), h('span', {class: 'num'}, 'Clicks'), h('span', {class: 'num c-last'}, 'Last click'), h('span', {class: 'c-hl'}, 'Target'), h('span', {}));
  fill(view.list, items.map(row));
  fill(view.place, head, view.list, view.rows.more);
  drawBulk();
}

/** @param {any[]} items */
function drawTags(items) {
  const counts = new Map(), {query} = view.state, now = query.get('tag');
  for (const item of items) for (const each of item.tags) counts.set(each, (counts.get(each) ?? 0) + 1);
  if (now && !counts.has(now)) counts.set(now, 0);
  if (!counts.size) return fill(view.tags);
  const all = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 12);
  return fill(view.tags, h('div', {class: 'tagbar', role: 'group', 'aria-label': 'Tags'}, h('button', {type: 'button', 'aria-pressed': String(!now), onclick: () => change({tag: null})}, 'All'),
    all.map(([name, count]) => h('button', {type: 'button', 'aria-pressed': String(name === now), onclick: () => change({tag: name === now ? null : name})}, typed(name), h('small', {}, number(count))))));
}

/** @param {any} link @param {number} at */
function row(link, at) {
  const {profile, role} = view.state, name = link.title || link.slug, shape = view.shapes.get(link.id);
  const box = role === 'viewer' ? h('span', {}) : h('input', {type: 'checkbox', 'aria-label': `Choose ${name}`, checked: view.chosen.has(link.id), onclick: (/** @type {MouseEvent} */ event) => choose(at, /** @type {any} */ (event.target).checked, event.shiftKey)});
  const state = stateOf(link);
  return h('li', {class: `lrow${view.chosen.has(link.id) ? ' on' : ''}`, 'data-id': link.id}, box, h('span', {class: 'logo', 'aria-hidden': 'true'}, [...name][0]?.toUpperCase()),
    h('div', {class: 'who'}, h('a', {href: pathOf(profile, 'links', link.id) + location.search}, typed(name)), h('small', {}, h('b', {}, `/${link.short ? '' : `${new URL(link.url).pathname[1] === '~' ? '~' : ''}${profile.handle}/`}`, typed(link.slug)), ' → ', typed(bare(link.target)))),
    h('div', {class: 'tags'}, link.tags.slice(0, 3).map((/** @type {string} */ each) => tag('', typed(each))), marks(link)),
    shape ? spark(shape.values, `${name}: clicks of the period`) : h('span', {class: 'spark'}),
    h('div', {class: 'num'}, h('b', {}, number(link.clicks ?? 0), h('span', {class: 'vh'}, ' clicks')), shape?.change != null ? h('span', {class: `delta ${Math.abs(shape.change) < 1 ? 'flat' : shape.change > 0 ? 'up' : 'down'}`}, `${signed(shape.change, 0)} %`) : null),
    h('div', {class: 'num last'}, h('small', {}, link.last_click ? ago(link.last_click) : 'none')),
    h('div', {class: `hl${state[0] === 'bad' ? ' bad' : ''}`}, tag(state[0], state[1]), state[2] && h('small', {}, state[2])),
    h('div', {class: 'acts'}, button('', {icon: 'copy', class: 'sq', 'aria-label': `Copy the address of ${name}`, onclick: () => copy(link.short_url ?? link.url, 'Address copied')}), linkButton('', {icon: 'external-link', class: 'sq', 'aria-label': `Open ${name}`, href: link.url, target: '_blank', rel: 'noopener'})));
}

/** @param {string} target */
const bare = target => target.replace(/^https?:\/\/(www\.)?/, '').replace(/\/$/, '');

/** @param {any} link */
const marks = link => [link.rules?.length ? tag('info', plural(link.rules.length, 'rule')) : null, link.has_password ? tag('info', 'password') : null, link.click_limit ? tag('info', `${number(link.click_limit)} clicks at most`) : null, link.hidden ? tag('', 'hidden') : null, link.github?.stars != null ? tag('info', `★ ${number(link.github.stars)}`) : null].filter(Boolean);

/** What the column of targets says: kind of tag, words, a line below. @param {any} link @returns {['' | 'ok' | 'warn' | 'bad' | 'info', string, any]} */
function stateOf(link) {
  const now = Date.now(), {health} = link;
  if (link.engine_quarantine) return ['bad', 'warned of', link.engine_quarantine.reason];
  if (link.quarantined) return ['bad', 'warned of', link.quarantine_reason];
  if (link.paused) return ['warn', 'paused', link.paused_reason];
  if (link.active_until && Date.parse(link.active_until) <= now) return ['warn', 'over', shortDay(link.active_until)];
  if (link.active_from && Date.parse(link.active_from) > now) return ['info', `from ${shortDay(link.active_from)}`, null];
  if (!health) return ['', 'not checked', null];
  const since = health.state === 'broken' ? ['since ', shortDay(health.since)] : ago(health.checked_at);
  const words = health.status ? String(health.status) : health.state === 'ok' ? 'works' : health.state === 'broken' ? 'broken' : 'not known';
  return [health.state === 'ok' ? 'ok' : health.state === 'broken' ? 'bad' : '', words, since];
}

// ---- shapes of the period ---------------------------------------------------------------------------------------------

function shapes() {
  const {profile, query} = view.state, base = {period: query.get('period') ?? '30d', tz: zone(), metrics: 'clicks', limit: PAGE};
  return ask(`/v1/profiles/${profile.id}/stats/batch`, {questions: [{...base, group: 'time,link', interval: base.period === 'day' ? 'hour' : base.period === '365d' ? 'week' : 'day'}, {...base, group: 'link', compare: 'previous'}]});
}

/** @param {any} data */
function drawShapes(data) {
  const [byTime, byLink] = data.answers, shapes = new Map();
  for (const each of byTime.rows) {
    if (!shapes.has(each.link)) shapes.set(each.link, {values: [], change: null});
    shapes.get(each.link).values.push(each.clicks);
  }
  byLink.rows.forEach((/** @type {any} */ each, /** @type {number} */ i) => {
    const was = byLink.previous?.rows[i]?.clicks, shape = shapes.get(each.link);
    if (shape && was) shape.change = (each.clicks / was - 1) * 100;
  });
  view.shapes = shapes;
  fill(view.badge, data.as_of ? asOf(`Counted to ${clock(data.as_of)}`) : asOf('Nothing counted yet'));
  if (view.items.length) fill(view.list, view.items.map(row));
}

// ---- many at once -----------------------------------------------------------------------------------------------------

/** @param {number} at @param {boolean} on @param {boolean} range */
function choose(at, on, range) {
  const [from, to] = range && view.lastBox >= 0 ? [Math.min(at, view.lastBox), Math.max(at, view.lastBox)] : [at, at];
  for (const link of view.items.slice(from, to + 1)) view.chosen[on ? 'add' : 'delete'](link.id);
  view.lastBox = at;
  for (const line of view.list.children) {
    const chosen = view.chosen.has(line.dataset.id);
    line.classList.toggle('on', chosen);
    line.querySelector('input').checked = chosen;
  }
  drawBulk();
  say(`${number(view.chosen.size)} chosen`);
}

function drawBulk() {
  const {bulk, chosen} = view, links = () => view.items.filter((/** @type {any} */ item) => chosen.has(item.id));
  bulk.hidden = !chosen.size;
  view.list.classList.toggle('picking', chosen.size > 0);
  if (!chosen.size) return;
  fill(bulk, h('span', {}, h('b', {}, number(chosen.size)), ' chosen'),
    button('Tag…', {icon: 'tag', onclick: () => tagDialog(links())}), button('Pause', {icon: 'moon', onclick: () => bulkChange(links().map((/** @type {any} */ link) => ({op: 'update', id: link.id, paused: true})), 'paused')}),
    button('Resume', {icon: 'play', onclick: () => bulkChange(links().map((/** @type {any} */ link) => ({op: 'update', id: link.id, paused: false})), 'resumed')}),
    button('Delete', {class: 'danger', onclick: () => remove(links())}), button('', {icon: 'x', class: 'sq', 'aria-label': 'Choose none', onclick: () => { chosen.clear(); choose(-1, false, false); }}));
}

/** @param {any[]} links */
function tagDialog(links) {
  const input = h('input', {name: 'tag', required: true, maxlength: 40, dir: 'auto', autocomplete: 'off'});
  const box = dialog(`Tag ${plural(links.length, 'link')}`, form([field('Tag', input, {help: 'It is added to the tags that each link has.'})], {
    action: 'Add',
    async send(values) {
      await bulkChange(links.filter(link => !link.tags.includes(values.tag)).map(link => ({op: 'update', id: link.id, tags: [...link.tags, values.tag]})), 'tagged');
      box.close();
    },
  }));
}

/** Send changes in hundreds; those that fail stay chosen. @param {any[]} operations @param {string} done */
async function bulkChange(operations, done) {
  let good = 0;
  /** @type {string[]} */
  const bad = [];
  try {
    for (let at = 0; at < operations.length; at += 100) {
      const part = operations.slice(at, at + 100), answer = await send('POST', `/v1/profiles/${view.state.profile.id}/links/bulk`, {operations: part});
      answer.results.forEach((/** @type {any} */ result) => {
        if (result.status < 300) { good += 1; view.chosen.delete(part[result.index].id); } else bad.push(result.problem?.errors?.[0]?.reason ?? result.problem?.detail ?? result.problem?.title);
      });
    }
  } catch (problem) { tellProblem(problem); }
  toast(`${plural(good, 'link')} ${done}${bad.length ? `; ${number(bad.length)} not: ${bad[0]}` : ''}`, {bad: bad.length > 0});
  changed();
}

/** @param {any[]} links */
async function remove(links) {
  if (links.length > 1 && !(await confirm(`Delete ${plural(links.length, 'link')}?`, 'Their addresses answer 404 from then on. What they counted stays.', 'Delete'))) return;
  const ids = new Set(links.map(link => link.id));
  view.chosen.clear();
  const before = view.items;
  drawList(before.filter((/** @type {any} */ item) => !ids.has(item.id)));
  undoable(`${plural(links.length, 'link')} deleted`, async keepalive => {
    const {profile} = view.state;
    for (let at = 0; at < links.length; at += 100) await send('POST', `/v1/profiles/${profile.id}/links/bulk`, {operations: links.slice(at, at + 100).map(link => ({op: 'delete', id: link.id}))}, {keepalive});
  }, () => drawList(before));
}
