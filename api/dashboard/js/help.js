// All keys: where they lead, what they do here, and the switch that turns single ones off.

import {h} from './dom.js';
import {kbd} from './controls.js';
import {dialog} from './dialog.js';
import {keysHere, singleKeys} from './keys.js';
import {session} from './api.js';
import {SCREENS, isFor} from './screens.js';

/** Show all keys. */
export async function help() {
  const me = await session().catch(() => null);
  const rows = (/** @type {[string, string[]][]} */ items) => h('dl', {}, items.map(([words, keys]) => h('div', {}, h('dt', {}, words), h('dd', {}, kbd(...keys)))));
  const toggle = h('input', {type: 'checkbox', role: 'switch', checked: singleKeys(), onchange: (/** @type {any} */ event) => localStorage.setItem('keys', event.target.checked ? 'on' : 'off')});
  dialog('Keys', [
    h('label', {class: 'rowb'}, toggle, 'Single keys are on'),
    h('div', {class: 'keycols'},
      h('section', {}, h('h3', {}, 'Go to'), rows(SCREENS.filter(screen => screen.key && isFor(screen, {me, profile: true})).map(screen => [screen.title, ['G', /** @type {string} */ (screen.key).toUpperCase()]]))),
      h('section', {}, h('h3', {}, 'Here'), rows(keysHere().map(([key, words]) => [words, [key.length === 1 ? key.toUpperCase() : key]]))),
      h('section', {}, h('h3', {}, 'Everywhere'), rows([['Search and commands', ['Ctrl', 'K']], ['These keys', ['?']], ['Chart or table', ['T']], ['Point before, after', ['←', '→']], ['Choose a range', ['Shift', '→']], ['Close', ['Esc']]]))),
    h('p', {class: 'note'}, 'Not while you type in a field. Off, only Ctrl K, Esc and arrows stay.'),
  ], {class: 'keys'});
}
