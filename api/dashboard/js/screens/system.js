// The server for its operator: whether it is well, each process with its actors, the journals that are not shipped, jobs.

import {h, fill, typed, whenFree} from '../dom.js';
import {get, poll} from '../api.js';
import {asOf, card, empty, problemView, skeleton, top} from '../card.js';
import {tag} from '../controls.js';
import {clock, duration, number, plural, words} from '../format.js';
import {now} from '../clock.js';
import {badge} from '../shell.js';

const EVERY_MS = 5000, STATES = /** @type {[string, string][]} */ ([['queued', 'wait'], ['running', 'run'], ['dead', 'gave up']]), MOST_JOBS = 100;

/** @type {any} */
let view = null;

/** @param {HTMLElement} root */
export function show(root) {
  const badgePlace = h('span', {}), place = h('div', {class: 'grid'}, card('', {class: 'c12 plainhead'}, skeleton('w9', 'w8', 'w9')));
  root.append(top('System', badgePlace), place);
  view = {badge: badgePlace, place, last: null, open: new Set()};
  view.polling = poll(read, EVERY_MS, data => whenFree(() => draw(data)), problem => {
    if (!view.last) fill(place, card('', {class: 'c12 plainhead'}, problem.status === 403 ? empty('The operator sees this: a member of the first account, with all rights.') : problemView(problem, () => view.polling.now())));
    else fill(view.badge, asOf(`not reached since ${clock(view.at)}`, 'warn'));
  });
}

export function leave() { view?.polling.stop(); }

/** @returns {Promise<any>} */
async function read() {
  const [system, ...jobs] = await Promise.all([get('/v1/system'), ...STATES.map(([state]) => get(`/v1/jobs?state=${state}&limit=${MOST_JOBS}`))]);
  return {system, jobs};
}

/** @param {any} data */
function draw({system, jobs}) {
  const {processes} = system;
  if (!view.last && matchMedia('(min-width: 900px)').matches) processes.forEach((/** @type {any} */ each) => view.open.add(each.name));
  const unwell = processes.filter((/** @type {any} */ each) => !each.ready);
  Object.assign(view, {last: system, at: now()});
  badge('system', unwell.length, 'not well');
  fill(view.badge, asOf(`As of ${clock(now())}`, unwell.length ? 'bad' : ''));
  const actors = processes.flatMap((/** @type {any} */ process) => all(process.actors));
  fill(view.place, figures(system, actors, jobs),
    card('Processes', {class: 'c8'}, h('ul', {class: 'processes'}, processes.map(processRow))),
    h('div', {class: 'c4 stackcol full'}, card('Journals', {}, h('div', {class: 'body'}, lags(actors))), card('Jobs', {right: h('a', {href: '/jobs'}, 'See them')}, h('div', {class: 'body'}, jobsOf(jobs)))));
}

/** An actor and all below it. @param {any[]} nodes @returns {any[]} */
const all = nodes => nodes.flatMap(node => [node, ...all(node.children)]);

/** @param {any} system @param {any[]} actors @param {any[]} jobs */
function figures({ready, processes, version}, actors, jobs) {
  const figure = (/** @type {string} */ label, /** @type {any} */ text, /** @type {any} */ sub, more = 'flat') => h('div', {class: 'kpi'}, h('span', {class: 'l'}, label), h('strong', {}, text), h('span', {class: 'd'}, h('small', {class: more}, sub)));
  const restarts = [...processes, ...actors].reduce((sum, each) => sum + each.restarts, 0), wait = actors.reduce((sum, actor) => sum + (actor.mailbox ?? 0), 0), dead = jobs[2].items.length;
  return h('section', {class: 'card c12', 'aria-label': 'The server'}, h('div', {class: 'kpis five'},
    figure('Health', ready ? 'Well' : 'Not well', ready ? 'every process answers' : plural(processes.filter((/** @type {any} */ each) => !each.ready).length, 'process is', 'processes are') + ' not ready', ready ? 'flat' : 'down'),
    figure('Runs for', duration(Math.max(0, ...processes.map((/** @type {any} */ each) => each.for_s))), plural(processes.length, 'process', 'processes')),
    figure('Restarts', number(restarts), restarts ? 'since the start' : 'none since the start', restarts ? 'warnt' : 'flat'),
    figure('Messages', number(wait), 'wait for an actor'),
    figure('Version', h('span', {class: 'version'}, version), dead ? [plural(dead, 'job'), ' gave up'] : 'of Waypost', dead ? 'warnt' : 'flat')));
}

/** @param {any} process */
function processRow(process) {
  const actors = all(process.actors), ill = actors.filter(actor => !actor.running && !actor.done);
  const restarts = process.restarts + actors.reduce((sum, actor) => sum + actor.restarts, 0);
  const box = h('details', {open: view.open.has(process.name) || !process.ready, ontoggle: () => view.open[box.open ? 'add' : 'delete'](process.name)},
    h('summary', {}, h('b', {}, process.name), process.ready ? tag('ok', 'well') : tag('bad', process.running ? 'not ready' : 'does not answer'), restarts ? tag('warn', plural(restarts, 'restart')) : null, h('small', {}, process.running ? `${duration(process.for_s)} · ${plural(actors.length, 'actor')}${ill.length ? `, ${number(ill.length)} do not run` : ''} · pid ${process.pid}` : '')),
    process.reasons.length ? h('ul', {class: 'reasons'}, process.reasons.map((/** @type {string} */ reason) => h('li', {}, typed(reason)))) : null, process.last_error ? h('p', {class: 'note'}, 'It ended last by ', typed(process.last_error)) : null,
    tree(process.actors));
  return h('li', {}, box);
}

/** @type {(actors: any[]) => any} */
const tree = actors => h('ul', {class: 'actors'}, actors.map(actor => h('li', {}, h('div', {class: 'actor'}, h('span', {class: 'dotted'}, h('i', {class: `dot ${actor.running ? '' : actor.done ? 'done' : 'bad'}`, 'aria-hidden': 'true'}), actor.name, h('span', {class: 'vh'}, actor.running ? ', runs' : actor.done ? ', is done' : ', does not run')),
  h('small', {}, [actor.mailbox ? `${plural(actor.mailbox, 'message')} ${actor.mailbox === 1 ? 'waits' : 'wait'}` : '', ...Object.entries(actor.lag).filter(([, value]) => value).map(([name, value]) => `${lagWords(name)} ${lagValue(name, value)}`), actor.restarts ? plural(actor.restarts, 'restart') : '', actor.done ? 'done' : ''].filter(Boolean).join(' · ')),
  actor.last_error ? h('p', {class: 'note'}, typed(actor.last_error)) : null), actor.children.length ? tree(actor.children) : null)));

/** @param {string} name a lag's, its unit last */
const lagWords = name => words(name.replace(/_s$/, '')).toLowerCase();

/** @param {string} name @param {any} value */
const lagValue = (name, value) => (name.endsWith('_s') ? duration(value) : number(value));

/** What the journals and what follows them have yet to do. @param {any[]} actors */
function lags(actors) {
  const sums = /** @type {Record<string, number>} */ ({});
  for (const actor of actors) for (const [name, value] of Object.entries(actor.lag)) sums[name] = name.endsWith('_s') ? Math.max(sums[name] ?? 0, value) : (sums[name] ?? 0) + value;
  const row = (/** @type {string} */ label, /** @type {string} */ name, /** @type {boolean} */ bad = false) => (name in sums ? [h('dt', {}, label), h('dd', {class: bad && sums[name] ? 'down' : null}, lagValue(name, sums[name]))] : null);
  return [h('dl', {class: 'kv'}, row('Clicks not yet shipped', 'pending_clicks'), row('Journals of edges that ended', 'journals', true), row('Deliveries under way', 'in_flight_deliveries'), row('Jobs that run', 'running_jobs'), row('The oldest job waits', 'oldest_s')),
    h('p', {class: 'note'}, 'A click is in its edge’s journal before the visitor has the answer; what is not shipped yet is on its disk.')];
}

/** @param {any[]} jobs */
const jobsOf = jobs => h('dl', {class: 'kv'}, STATES.map(([state, text], i) => [h('dt', {}, h('a', {href: `/jobs?state=${state}`}, text[0].toUpperCase() + text.slice(1))), h('dd', {class: state === 'dead' && jobs[i].items.length ? 'down' : null}, `${number(jobs[i].items.length)}${jobs[i].next_cursor ? '+' : ''}`)]));
