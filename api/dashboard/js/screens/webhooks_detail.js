// One webhook: how it fares, what it has sent, what it gets, and what can be done with it.

import {h, fill, typed, whenFree} from '../dom.js';
import {change as send, get, poll} from '../api.js';
import {card, problemView, skeleton} from '../card.js';
import {ago, now} from '../clock.js';
import {button, tag} from '../controls.js';
import {confirm, secretOnce} from '../dialog.js';
import {field, form} from '../form.js';
import {compact, dateTime, duration, number, percent, plural} from '../format.js';
import {tellProblem, toast} from '../toast.js';
import {change, go, pathOf} from '../url.js';
import {circuitCard} from './webhooks_circuit.js';
import {daysChart} from './webhooks_days.js';
import {deliveriesCard} from './webhooks_deliveries.js';
import {eventsField, typesOf} from './webhooks_events.js';
import {recoverCard} from './webhooks_recover.js';
import {signatureCard} from './webhooks_signature.js';
import {nameOf, stateOf} from './webhooks_state.js';

const EVERY_MS = 5000, SUMMARY_MS = 30_000;

/**
 * Fill `root` with the webhook that the state names.
 * @param {HTMLElement} root @param {import('../url.js').State} state
 */
export function detail(root, state) {
  const path = `/v1/webhooks/${encodeURIComponent(state.params.id)}`;
  /** @type {any} */
  const view = {state, path, hook: null, summary: null, over: false, types: [], refresh: () => refresh(view)};
  view.head = h('div', {}, h('div', {class: 'top'}, h('h1', {}, 'Webhook')));
  view.chart = daysChart(day => change({day}));
  view.figures = h('div', {class: 'kpibar kpis four'});
  view.circuit = circuitCard(view);
  view.deliveries = deliveriesCard(view);
  view.recover = recoverCard(view);
  view.signature = signatureCard(view, () => rotate(view));
  view.edit = h('div', {class: 'body'}, skeleton('w9', 'w8'));
  view.note = h('p', {class: 'note body', hidden: true});
  root.append(view.head, h('div', {class: 'grid'},
    h('section', {class: 'card c8', 'aria-label': 'Thirty days'}, view.figures, legend(view), h('div', {class: 'body'}, view.chart), view.note), view.circuit.element,
    view.deliveries.element, h('div', {class: 'c4 stackcol full'}, view.recover.element, view.signature.element, card('What it gets', {}, view.edit), card('Delete', {}, h('div', {class: 'body rowb'}, h('span', {class: 'note'}, 'Its deliveries go with it.'), button('Delete…', {class: 'danger', onclick: () => remove(view)}))))));
  get('/v1/event-types').then(({items}) => { view.types = items; view.deliveries.types(items); if (view.hook) drawEdit(view); }, () => {});
  drawFigures(view);
  view.hooks = poll(() => get(path), EVERY_MS, hook => whenFree(() => drawHook(view, hook)), problem => { if (!view.hook) fill(view.head, problemView(problem, () => view.hooks.now())); });
  view.summaries = poll(() => get(`${path}/summary`), SUMMARY_MS, summary => whenFree(() => { view.summary = summary; drawFigures(view); view.recover.draw(); }), () => {});
  return {
    /** @param {import('../url.js').State} next */
    update(next) { view.state = next; drawFigures(view); view.deliveries.update(); },
    leave() { view.over = true; for (const part of [view.hooks, view.summaries]) part.stop(); view.deliveries.end(); view.circuit.end(); },
  };
}

/** @param {any} view */
function legend(view) {
  const twin = button('Table', {class: 'small', 'aria-pressed': 'false', onclick: () => {
    const on = twin.getAttribute('aria-pressed') !== 'true';
    twin.setAttribute('aria-pressed', String(on));
    view.chart.twin(on);
  }});
  return h('div', {class: 'legend'}, h('span', {}, h('i', {class: 'k'}), 'delivered'), h('span', {}, h('i', {class: 'k fail'}), 'failed'), h('span', {}, h('i', {class: 'k wait'}), 'waiting'), h('span', {class: 'push flat'}, 'a bar leads to its day'), twin);
}

/** @param {any} view */
function drawFigures({figures, chart, note, summary, state}) {
  const {delivered = null, failed = null, pending = null, attempts = null, p50_ms: p50 = null, p95_ms: p95 = null} = summary ?? {}, over = delivered + failed, sent = over + pending;
  const figure = (/** @type {string} */ label, /** @type {string} */ text, /** @type {any} */ sub, more = 'flat') => h('div', {class: 'kpi'}, h('span', {class: 'l'}, label), h('strong', {}, text), h('span', {class: 'd'}, h('small', {class: more}, sub)));
  fill(figures,
    figure('Delivered', over ? percent(delivered / over) : '–', over ? `${compact(delivered)} of ${compact(over)}` : 'nothing yet'),
    figure('Waiting', number(pending), summary?.oldest_pending_at ? `oldest ${duration((now() - Date.parse(summary.oldest_pending_at)) / 1000)}` : 'none', pending ? 'warnt' : 'flat'),
    figure('Answers in', p50 == null ? '–' : duration(p50 / 1000), p95 == null ? 'no answer yet' : `95 of 100 within ${duration(p95 / 1000)}`),
    figure('Tries', compact(attempts), `for ${plural(sent, 'delivery', 'deliveries')}`));
  note.hidden = summary?.complete !== false;
  note.textContent = `Of the newest ${compact(sent)} deliveries; the bars of earlier days are too low.`;
  if (summary) chart.show(summary.days, state.query.get('day'));
}

/** Ask all anew, after something was done. @param {any} view */
function refresh(view) {
  if (view.over) return;
  for (const part of [view.hooks, view.summaries, view.deliveries]) part.now();
}

/** @param {any} view @param {any} hook */
function drawHook(view, hook) {
  if (hook === view.hook) return;
  const first = view.hook?.version !== hook.version;
  view.hook = hook;
  view.circuit.draw();
  view.recover.draw();
  drawHead(view);
  if (!first) return; // what is typed stays while only the couriers' notes are new
  view.signature.draw();
  drawEdit(view);
}

/** @param {any} view */
function drawHead(view) {
  const {hook, path, state} = view, [kind, words] = stateOf(hook);
  fill(view.head, h('nav', {class: 'crumbs', 'aria-label': 'Where this is'}, h('ol', {}, h('li', {}, h('a', {href: pathOf(state.profile, 'webhooks')}, 'Webhooks')))),
    h('div', {class: 'top hooktop'}, h('h1', {}, typed(nameOf(hook))), tag(kind, words), tag('', hook.ordered ? 'in order' : 'any order'), h('span', {class: 'gap'}),
      button('Send test', {icon: 'send', disabled: !hook.enabled, onclick: () => act(view, 'POST', `${path}/test`, 'The test is on its way')}),
      hook.enabled ? button('Pause', {icon: 'pause', onclick: () => act(view, 'PATCH', path, 'Nothing is sent until you enable it', {enabled: false})})
        : button('Enable', {icon: 'play', class: 'main', onclick: () => act(view, 'PATCH', path, 'It sends again', {enabled: true})})),
    h('ul', {class: 'facts'}, h('li', {}, 'To ', h('b', {}, typed(hook.url))), h('li', {}, 'Gets ', h('b', {}, hook.event_types.join(', '))), h('li', {}, 'Made ', h('b', {}, ago(hook.created_at, dateTime(hook.created_at))))),
    !hook.enabled && hook.disabled_reason && h('div', {class: 'alert banner', role: 'status'}, h('div', {}, h('b', {}, 'Waypost has disabled it'), h('small', {}, `${hook.disabled_reason[0].toUpperCase()}${hook.disabled_reason.slice(1)}. Enable it once your server is well; then send again what it missed.`))));
}

/** Do something with the webhook and show what came of it. @param {any} view @param {'POST' | 'PATCH'} method @param {string} path @param {string} words @param {any} [body] */
async function act(view, method, path, words, body) {
  try {
    await send(method, path, body, method === 'PATCH' ? {version: view.hook.version} : {key: crypto.randomUUID?.()});
    toast(words);
  } catch (problem) {
    tellProblem(problem);
  }
  view.refresh();
}

/** @param {any} view */
function drawEdit(view) {
  const {hook, types} = view, limit = (/** @type {string} */ name, /** @type {number} */ max) => h('input', {name, type: 'number', min: 1, max, value: hook[name] ?? '', placeholder: 'the server’s'});
  fill(view.edit, form([
    field('URL', h('input', {name: 'url', type: 'url', required: true, maxlength: 2048, value: hook.url, dir: 'ltr', autocomplete: 'off'})),
    field('What it is for', h('input', {name: 'description', maxlength: 200, value: hook.description, dir: 'auto', autocomplete: 'off'}), {max: 200}),
    eventsField(hook.event_types, types),
    h('div', {class: 'pair'}, field('At once, at most', limit('max_concurrency', 100)), field('A second, at most', limit('max_rate', 10_000))),
    h('label', {class: 'rowb'}, h('input', {type: 'checkbox', name: 'ordered', checked: hook.ordered}), 'In order'),
  ], {action: 'Save', async send(values) {
    await send('PATCH', view.path, {...values, event_types: typesOf(values.event_types)}, {version: hook.version});
    toast('Saved');
    view.hooks.now();
  }}));
}

/** @param {any} view */
async function rotate(view) {
  if (!await confirm('Rotate the key?', 'For 24 hours requests are signed with both, so that your server can change over.', 'Rotate', {bad: false})) return;
  try {
    const made = await send('POST', `${view.path}/rotate-secret`, undefined, {key: crypto.randomUUID?.()});
    if (made.secret) await secretOnce('The new secret', made.secret, 'Your server verifies each request with it. It is shown only now.');
    else toast('The public key is another one');
  } catch (problem) {
    tellProblem(problem);
  }
  view.hooks.now();
}

/** @param {any} view */
async function remove(view) {
  const waiting = view.summary?.pending;
  if (!await confirm('Delete this webhook?', waiting ? `${plural(waiting, 'delivery waits', 'deliveries wait')}, and ${waiting === 1 ? 'goes' : 'go'} with it.` : 'Its deliveries go with it.', 'Delete')) return;
  try {
    await send('DELETE', view.path);
    toast('The webhook is deleted');
    await go(pathOf(view.state.profile, 'webhooks'));
  } catch (problem) {
    tellProblem(problem);
  }
}
