// Experiments: the list with what each says so far, and one experiment by its URL.

import {h, fill, typed} from '../dom.js';
import {all, get, poll} from '../api.js';
import {asOf, card, empty, problemView, skeleton, top} from '../card.js';
import {linkButton, tag} from '../controls.js';
import {clock, number} from '../format.js';
import {onKey} from '../keys.js';
import {ago, now} from '../clock.js';
import {change, go, href, pathOf} from '../url.js';
import {bestOf, sentence} from './experiments_verdict.js';
import {detail, stateTag} from './experiments_detail.js';
import {newExperiment} from './experiments_new.js';

const EVERY_MS = 60_000, JUDGED = 12;
const ORDER = ['running', 'paused', 'draft', 'decided', 'archived'];

/** @type {any} */
let view = null;

/** @param {HTMLElement} root @param {import('../url.js').State} state */
export function show(root, state) {
  const {id} = state.params;
  view = id ? {root, id, ...detail(root, state, id)} : {root, id: '', ...list(root, state)};
}

/** @param {import('../url.js').State} state */
export function update(state) {
  if ((state.params.id ?? '') === view.id && view.update(state)) return;
  view.end();
  view.root.replaceChildren();
  show(view.root, state);
}

export function leave() {
  view?.end();
  view = null;
}

/** @param {HTMLElement} root @param {import('../url.js').State} first */
function list(root, first) {
  const {profile, role} = first, writes = role !== 'viewer', place = h('div', {}, skeleton('w9', 'w8', 'w9', 'w7')), badge = h('span', {role: 'status'});
  let state = first, last = '';
  /** @type {HTMLDialogElement | null} */
  let box = null;
  root.append(top('Experiments', badge, writes && linkButton('New experiment', {icon: 'plus', class: 'main', href: () => href({new: '1'})})), card('', {class: 'plainhead'}, place));
  const draw = (/** @type {any[]} */ rows) => {
    fill(badge, asOf(`Read at ${clock(now())}`));
    const text = JSON.stringify(rows);
    if (text === last) return;
    last = text;
    fill(place, rows.length ? h('ul', {class: 'exps', 'aria-label': 'Experiments'}, rows.map(({experiment, results}) => row(profile, experiment, results)))
      : empty('No experiment yet. Try two targets for one link, or two titles on the page: the result may be watched all day.', writes && linkButton('New experiment', {icon: 'plus', class: 'main', href: () => href({new: '1'})})));
  };
  const polling = poll(() => read(profile), EVERY_MS, draw, problem => { if (last) fill(badge, asOf(problem.title, 'warn')); else fill(place, problemView(problem, () => polling.now())); });
  const endKey = writes ? onKey('n', 'New experiment', () => change({new: '1'})) : () => {};
  const open = () => {
    if (!writes || !state.query.get('new') || box) return;
    box = newExperiment(state, id => go(pathOf(profile, 'experiments', id)), () => { box = null; if (view?.id === '' && state.query.get('new')) change({new: null}, {replace: true}); });
  };
  open();
  return {update(/** @type {any} */ next) { state = next; open(); if (!state.query.get('new')) box?.close(); return true; }, end() { const shown = box; state = {...state, query: new URLSearchParams()}; polling.stop(); endKey(); shown?.close(); }};
}

/** All experiments, and the results of those that say something. @param {any} profile */
async function read(profile) {
  const items = await all(`/v1/profiles/${profile.id}/experiments`);
  items.sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state) || String(b.started_at ?? b.created_at).localeCompare(String(a.started_at ?? a.created_at)));
  const judged = new Set(items.filter(item => item.state === 'running' || item.state === 'paused').slice(0, JUDGED));
  return Promise.all(items.map(async experiment => ({experiment, results: judged.has(experiment) ? await get(`/v1/experiments/${experiment.id}/results`) : null})));
}

/** @param {any} profile @param {any} experiment @param {any} results */
function row(profile, experiment, results) {
  const visitors = results?.variants.reduce((/** @type {number} */ sum, /** @type {any} */ variant) => sum + variant.visitors, 0);
  return h('li', {}, h('div', {class: 'who'}, h('a', {href: pathOf(profile, 'experiments', experiment.id)}, typed(experiment.name)), stateTag(experiment), results?.allocation.mismatch && tag('bad', 'mismatch'),
    h('p', {}, verdict(experiment, results))),
  h('div', {class: 'num'}, results ? [h('b', {}, number(visitors)), h('small', {}, 'visitors')] : null),
  h('div', {class: 'num when'}, h('small', {}, experiment.started_at ? ['started ', ago(experiment.started_at)] : ['made ', ago(experiment.created_at)])));
}

/** @param {any} experiment @param {any} results @returns {any} */
function verdict(experiment, results) {
  if (experiment.state === 'draft') return 'A draft: visitors see nothing of it before it is started.';
  if (experiment.state === 'decided') return ['Decided: every visitor gets ', h('b', {}, typed(experiment.winner ?? '')), '.'];
  if (experiment.state === 'archived') return 'Over: visitors get the link or page without it.';
  if (!results) return 'Its results stand on its own page.';
  const [control, ...treatments] = results.variants;
  return sentence(experiment, results, control, bestOf(treatments));
}
