// Webhooks: the list with their states, a new one, and the screen of one with its deliveries.

import {h, typed} from '../dom.js';
import {all, change as send, get} from '../api.js';
import {ago} from '../clock.js';
import {card, empty, loaded, skeleton, top} from '../card.js';
import {linkButton, tag} from '../controls.js';
import {dialog, secretOnce} from '../dialog.js';
import {field, form} from '../form.js';
import {compact, dateTime, percent} from '../format.js';
import {change, go, href, pathOf} from '../url.js';
import {detail} from './webhooks_detail.js';
import {dayBars} from './webhooks_days.js';
import {eventsField, typesOf} from './webhooks_events.js';
import {nameOf, stateOf} from './webhooks_state.js';

const DAYS = 7;

/** @type {any} */
let view = null;

/** @param {HTMLElement} root @param {import('../url.js').State} state */
export function show(root, state) {
  view = {root, state, dialog: null, id: state.params.id, detail: null};
  if (!['owner', 'admin'].includes(state.role)) return void root.append(top('Webhooks'), card('Webhooks', {class: 'plainhead'}, empty('Owners and admins see these.')));
  if (view.id) view.detail = detail(root, state);
  else overview(root, state);
}

/** @param {import('../url.js').State} state */
export function update(state) {
  if (state.params.id !== view.id) {
    const {root} = view;
    leave();
    root.replaceChildren();
    return show(root, state);
  }
  view.state = state;
  if (view.detail) view.detail.update(state);
  else if (state.role === 'owner' || state.role === 'admin') openDialog(state);
}

export function leave() {
  const {detail: shown, dialog: open} = view ?? {};
  view = null;
  shown?.leave();
  open?.close();
}

const newButton = () => linkButton('New webhook', {icon: 'plus', class: 'main', href: () => href({new: '1'})});

/** @param {HTMLElement} root @param {import('../url.js').State} state */
function overview(root, state) {
  const place = h('div', {});
  root.append(top('Webhooks', newButton()), card('Webhooks', {class: 'plainhead'}, place),
    h('p', {class: 'foot'}, 'An event is written with the change that it tells of, signed, and sent until it is taken, for 28 hours. ', h('a', {href: '/docs#tag-webhooks', class: 'under'}, 'How to verify one')));
  openDialog(state);
  loaded(place, {
    ask: () => all(`/v1/profiles/${state.profile.id}/webhooks`), skeleton: skeleton('w8', 'w9', 'w8', 'w9'),
    draw: hooks => (hooks.length ? h('ul', {class: 'hooks'}, hooks.map((/** @type {any} */ hook) => row(state, hook))) : empty('No webhook yet. One sends this profile’s events to a server of yours, signed, with retries.', newButton())),
  }).load();
}

/** @param {import('../url.js').State} state @param {any} hook */
function row({profile}, hook) {
  const figures = h('div', {class: 'figures'}), [kind, words] = stateOf(hook);
  get(`/v1/webhooks/${hook.id}/summary?days=${DAYS}`).then(summary => figures.append(...weekOf(summary)), () => figures.append(h('small', {}, 'Its deliveries are not known')));
  return h('li', {}, h('div', {class: 'who'}, h('a', {href: pathOf(profile, 'webhooks', hook.id)}, typed(nameOf(hook))), h('small', {class: 'mono'}, typed(hook.url)), h('small', {}, hook.event_types.join(', '))),
    figures, h('div', {class: 'state'}, tag(kind, words), hook.failing_since ? h('small', {}, 'nothing taken since ', ago(hook.failing_since, dateTime(hook.failing_since))) : null));
}

/** The week of a webhook: its bars and its share of success. @param {any} summary */
function weekOf(summary) {
  const {delivered, failed, pending} = summary, over = delivered + failed;
  if (!over && !pending) return [h('small', {}, 'Nothing sent this week')];
  return [dayBars(summary.days), h('small', {}, over ? `${percent(delivered / over)} of ${compact(over)} taken` : 'none taken yet', pending ? `, ${compact(pending)} waiting` : '')];
}

/** @param {import('../url.js').State} state */
async function openDialog(state) {
  if (!state.query.get('new') || view.dialog) return;
  const key = crypto.randomUUID?.(), types = await get('/v1/event-types').catch(() => ({items: []}));
  if (!view || view.dialog) return;
  view.dialog = dialog('New webhook', form([
    field('URL', h('input', {name: 'url', type: 'url', inputmode: 'url', required: true, autofocus: true, maxlength: 2048, placeholder: 'https://', dir: 'ltr', autocomplete: 'off'}), {help: 'Https, on the public internet.'}),
    field('What it is for', h('input', {name: 'description', maxlength: 200, dir: 'auto', autocomplete: 'off'}), {max: 200}),
    eventsField(['*'], types.items),
    field('Signature', h('select', {name: 'signature'}, h('option', {value: 'v1'}, 'v1: a shared secret (HMAC)'), h('option', {value: 'v1a'}, 'v1a: a public key (ed25519)'))),
    h('label', {class: 'rowb'}, h('input', {type: 'checkbox', name: 'ordered'}), 'In order: a failure holds up the events behind it'),
  ], {action: 'Create', async send(values) {
    const made = await send('POST', `/v1/profiles/${state.profile.id}/webhooks`, {...values, event_types: typesOf(values.event_types)}, {key});
    view.dialog.close();
    await go(pathOf(state.profile, 'webhooks', made.id), {replace: true});
    if (made.secret) await secretOnce('The secret', made.secret, 'Your server verifies each request with it. It is shown only now.');
  }}), {closed: () => { if (!view) return; view.dialog = null; if (new URLSearchParams(location.search).get('new')) change({new: null}, {replace: true}); }});
}
