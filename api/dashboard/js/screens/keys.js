// The reader's API keys: made with the fewest scopes, seen at what they did, revoked.

import {h, typed} from '../dom.js';
import {all, change as send} from '../api.js';
import {card, empty, loaded, skeleton, top} from '../card.js';
import {ago, now} from '../clock.js';
import {button, tag} from '../controls.js';
import {dialog, secretOnce} from '../dialog.js';
import {field, form} from '../form.js';
import {dateTime, relative} from '../format.js';
import {change, go} from '../url.js';
import {keyDrawer} from './keys_drawer.js';

const DAY_MS = 86_400_000, SOON_MS = 7 * DAY_MS;
const SCOPES = /** @type {[string, string][]} */ ([['read', 'reads profiles, links, statistics and members'], ['write', 'makes and changes links, pages and pictures'], ['admin', 'webhooks, members, domains, keys, export and deletion']]);
const ENDS = /** @type {[string, string][]} */ ([['30', 'in 30 days'], ['90', 'in 90 days'], ['365', 'in a year'], ['', 'never']]);

/** @type {any} */
let view = null;

/** @param {HTMLElement} root @param {import('../url.js').State} state */
export function show(root, state) {
  const place = h('div', {}), make = () => button('New key', {icon: 'plus', class: 'main', onclick: () => change({new: '1'})});
  view = {state, items: [], dialog: null, over: false};
  root.append(top('API keys', make()), card('', {class: 'plainhead'}, place), h('p', {class: 'foot'}, 'A key acts for you, within its scopes, until it ends or is revoked. ', h('a', {href: '/docs', class: 'under'}, 'What the API can do')));
  const list = loaded(place, {
    ask: () => all('/v1/keys'), skeleton: skeleton('w8', 'w9', 'w8'),
    draw: items => {
      view.items = [...items].reverse();
      return items.length ? h('ul', {class: 'keylist'}, view.items.map(row)) : empty('No key yet. A key lets a program of yours use the API.', make());
    },
  });
  view.load = async () => { await list.load(); if (!view.over) open(view.state); };
  view.load();
}

/** @param {import('../url.js').State} state */
export function update(state) {
  view.state = state;
  if (state.params.id || state.query.get('new')) open(state);
  else view.dialog?.close();
}

export function leave() {
  view.over = true;
  view.dialog?.close();
}

/** Whether a key has ended, ends soon or goes on. @param {any} key @returns {['' | 'ok' | 'warn' | 'bad', string]} */
export function endOf({expires_at: end}) {
  if (!end) return ['', 'never ends'];
  const left = Date.parse(end) - now();
  return left <= 0 ? ['bad', 'has ended'] : [left < SOON_MS ? 'warn' : '', `ends ${relative(end, now())}`];
}

/** @param {any} key */
function row(key) {
  const [kind, words] = endOf(key);
  return h('li', {}, h('div', {class: 'who'}, h('a', {href: `/account/keys/${key.id}`}, typed(key.label || 'Without a name')), h('small', {class: 'mono'}, `${key.prefix}…`)), h('div', {class: 'scopes'}, key.scopes.map((/** @type {string} */ scope) => tag(scope === 'admin' ? 'warn' : '', scope))),
    h('div', {class: 'state'}, h('span', {}, key.last_used_at ? ['used ', ago(key.last_used_at, dateTime(key.last_used_at))] : 'never used'), kind ? tag(kind, words) : h('small', {}, words)));
}

/** @param {import('../url.js').State} state */
function open(state) {
  const {id} = state.params;
  if (view.dialog) return;
  const back = () => { view.dialog = null; if (!view.over && (view.state.params.id || view.state.query.get('new'))) go('/account/keys', {replace: true}); };
  if (state.query.get('new')) view.dialog = newKey(back);
  const key = id && view.items.find((/** @type {any} */ each) => each.id === id);
  if (key) view.dialog = keyDrawer(key, endOf(key), () => view.load(), back);
}

/** @param {() => void} closed */
function newKey(closed) {
  const once = crypto.randomUUID?.();
  const scopes = SCOPES.map(([name, words], i) => h('label', {class: 'scope'}, h('input', {type: 'checkbox', value: name, checked: i === 0}), h('span', {}, h('b', {}, name), h('small', {}, words))));
  const box = dialog('New key', form([
    field('What it is for', h('input', {name: 'label', required: true, maxlength: 200, dir: 'auto', autocomplete: 'off', autofocus: true}), {max: 200}),
    h('fieldset', {class: 'scopeset', 'data-name': 'scopes'}, h('legend', {}, 'It may'), scopes, h('small', {class: 'bad', hidden: true}), h('input', {type: 'hidden'})),
    field('It ends', h('select', {name: 'end'}, ENDS.map(([days, words]) => h('option', {value: days, selected: days === '90'}, words)))),
    field('Pages that may use it', h('input', {name: 'origins', placeholder: 'https://app.example', autocomplete: 'off', spellcheck: 'false', dir: 'ltr'}), {help: 'Empty: no page in a browser, only programs. Origins with commas between them.'}),
  ], {action: 'Make it', async send(values) {
    const draft = {label: values.label, scopes: scopes.map(label => label.querySelector('input')).filter(input => input.checked).map(input => input.value), origins: values.origins.split(/[\s,]+/).filter(Boolean), expires_at: values.end ? new Date(now() + Number(values.end) * DAY_MS).toISOString() : null};
    const made = await send('POST', '/v1/keys', draft, {key: once});
    box.close();
    await secretOnce('The key', made.key, 'Give it to your program. It is shown only now.');
    view.load();
  }}), {closed});
  return box;
}
