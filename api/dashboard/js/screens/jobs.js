// Background jobs of the reader's tenant: what waits, runs, is done or gave up, with a way to try again.

import {h, fill, typed, whenFree} from '../dom.js';
import {change as send, get, poll} from '../api.js';
import {card, empty, problemView, skeleton, top} from '../card.js';
import {button, tag} from '../controls.js';
import {number, words} from '../format.js';
import {ago} from '../clock.js';
import {table} from '../table.js';
import {tellProblem, toast} from '../toast.js';
import {change} from '../url.js';

const EVERY_MS = 5_000;
const STATES = /** @type {[string, string][]} */ ([['', 'All'], ['queued', 'Waiting'], ['running', 'Running'], ['succeeded', 'Done'], ['dead', 'Gave up'], ['cancelled', 'Cancelled']]);
const KINDS = /** @type {Record<string, '' | 'ok' | 'warn' | 'bad' | 'info'>} */ ({running: 'info', succeeded: 'ok', dead: 'bad', cancelled: 'warn'});

/** @type {any} */
let view = null;

/** @param {HTMLElement} root @param {import('../url.js').State} state */
export function show(root, state) {
  const place = h('div', {}, skeleton('w9', 'w8', 'w9', 'w8')), choice = h('span', {class: 'choice'});
  root.append(top('Jobs', choice), card('', {class: 'plainhead'}, place));
  view = {place, choice, state, polling: null, last: null};
  drawChoice();
  view.polling = poll(() => get(`/v1/jobs?limit=50${view.state.query.get('state') ? `&state=${view.state.query.get('state')}` : ''}`), EVERY_MS, data => whenFree(() => draw(data)), problem => { if (!view.last) fill(place, problemView(problem, () => view.polling.now())); });
}

/** @param {import('../url.js').State} state */
export function update(state) {
  view.state = state;
  view.last = null;
  drawChoice();
  view.polling.now();
}

export function leave() { view?.polling.stop(); }

function drawChoice() {
  const now = view.state.query.get('state') ?? '';
  fill(view.choice, h('select', {'aria-label': 'State', onchange: (/** @type {any} */ event) => change({state: event.target.value || null})}, STATES.map(([one, text]) => h('option', {value: one, selected: one === now}, text))));
}

/** @param {any} data */
function draw(data) {
  if (data === view.last) return;
  view.last = data;
  if (!data.items.length) return fill(view.place, empty('No job is like that.'));
  return fill(view.place, table({caption: 'Jobs', rows: data.items, columns: [
    {name: 'kind', title: 'Job', show: job => [words(job.kind), job.last_error ? h('small', {class: 'note'}, ' ', typed(job.last_error)) : null]},
    {name: 'state', title: 'State', show: job => [tag(KINDS[job.state] ?? '', STATES.find(([one]) => one === job.state)?.[1] ?? job.state), job.progress ? h('progress', {max: job.progress.total, value: job.progress.done, 'aria-label': `${number(job.progress.done)} of ${number(job.progress.total)}`}) : null]},
    {name: 'tries', title: 'Tries', number: true, class: 'opt', show: job => `${number(job.attempt)} of ${number(job.max_attempts)}`},
    {name: 'when', title: 'When', show: job => ago(job.finished_at ?? job.started_at ?? job.run_at)},
    {name: 'acts', title: '', show: job => (job.state === 'dead' || job.state === 'cancelled' ? button('Try again', {class: 'small', onclick: () => act(job, 'retry')}) : ['queued', 'running'].includes(job.state) && !job.cancel_requested ? button('Cancel', {class: 'small', onclick: () => act(job, 'cancel')}) : null)},
  ]}));
}

/** @param {any} job @param {string} what */
async function act(job, what) {
  try {
    await send('POST', `/v1/jobs/${job.id}/${what}`);
    toast(what === 'retry' ? 'It is tried again' : 'It will be cancelled');
  } catch (problem) { tellProblem(problem); }
  view.polling.now();
}
