// A delivery's drawer: each try with its answer, the body, the next one by J and K, and sending it again.

import {h, fill, typed} from '../dom.js';
import {change as send, get, poll} from '../api.js';
import {problemView, skeleton} from '../card.js';
import {ago, now} from '../clock.js';
import {button, kbd, tag} from '../controls.js';
import {drawer} from '../dialog.js';
import {bytes, clock, dateTime, duration, number} from '../format.js';
import {singleKeys} from '../keys.js';
import {copy, tellProblem, toast} from '../toast.js';
import {change} from '../url.js';
import {DELIVERY, answerOf, isTaken} from './webhooks_state.js';

const EVERY_MS = 3000;

/**
 * Show the delivery of an id; `items()` are those of the list, to go from one to the next.
 * @param {any} view @param {string} first @param {() => any[]} items @param {() => void} closed
 */
export function deliveryDrawer(view, first, items, closed) {
  let id = first, shown = '';
  const place = h('div', {}, skeleton('w9', 'w8', 'w9')), foot = h('div', {class: 'rowb'});
  const box = drawer('Delivery', place, {sub: ' ', foot, closed: () => { polling.stop(); closed(); }});
  const path = () => `${view.path}/deliveries/${encodeURIComponent(id)}`;
  const again = button('Send again now', {icon: 'rotate-cw', class: 'main', onclick: async () => {
    await send('POST', `${path()}/replay`).then(() => toast('It will be sent again'), tellProblem);
    view.refresh();
    polling.now();
  }});
  const polling = poll(() => get(path()), EVERY_MS, item => {
    // Drawn anew only when something happened: the reader may have a try open or a text marked.
    const sign = `${item.id} ${item.state} ${item.attempt_count} ${item.next_attempt_at}`;
    if (sign === shown) return;
    shown = sign;
    /** @type {any} */ (box.querySelector('h2')).textContent = item.type;
    fill(/** @type {any} */ (box.querySelector('header p')), tag(...DELIVERY[item.state]), h('span', {class: 'mono'}, ` ${item.message_id} `), '· happened ', dateTime(item.occurred_at));
    const text = JSON.stringify(item.body, null, 2);
    fill(place, attempts(item), part('Body', `${bytes(new TextEncoder().encode(JSON.stringify(item.body)).length)}, the same in every try`, code('Body', text)));
    fill(foot, again, button('Copy the body', {icon: 'copy', onclick: () => copy(JSON.stringify(item.body))}), items().length > 1 ? h('span', {class: 'r note keyhint'}, kbd('J', 'K'), ' next, before') : null);
    again.disabled = !view.hook?.enabled;
  }, problem => { if (!shown) fill(place, problemView(problem, () => polling.now())); });
  box.addEventListener('keydown', event => {
    const step = /** @type {Record<string, number>} */ ({j: 1, k: -1})[event.key];
    if (!step || !singleKeys() || event.ctrlKey || event.metaKey) return;
    const all = items(), next = all[all.findIndex(item => item.id === id) + step];
    if (!next) return;
    id = next.id;
    change({delivery: id}, {replace: true});
    polling.now();
  });
  return box;
}

/** @param {string} title @param {any} note @param {...any} children */
const part = (title, note, ...children) => h('section', {class: 'part'}, h('h3', {}, title, h('span', {class: 'r'}, note)), children);

/** @param {string} label @param {string} text */
const code = (label, text) => h('pre', {class: 'code', tabindex: 0, role: 'group', 'aria-label': label}, typed(text));

/** @param {any} item */
function attempts(item) {
  const due = item.state === 'pending' && Date.parse(item.next_attempt_at) <= now(), next = item.state === 'pending' && (due ? ', the next is due' : [', next ', ago(item.next_attempt_at, dateTime(item.next_attempt_at))]);
  if (!item.attempts.length) return part('Tries', ['none yet', next], h('p', {class: 'note'}, 'It waits for its turn.'));
  return part('Tries', [number(item.attempt_count), next], h('div', {class: 'att'}, [...item.attempts].reverse().map((each, i) => h('details', {open: i === 0},
    h('summary', {}, h('span', {class: 'n'}, number(each.number)), h('span', {title: dateTime(each.at)}, clock(each.at)), tag(isTaken(each) ? 'ok' : 'bad', answerOf(each)), h('span', {class: 'flat'}, duration(each.duration_ms / 1000))),
    h('div', {class: 'more2'}, each.error && h('p', {class: 'note'}, typed(each.error)), each.response ? code(`Answer of try ${each.number}`, each.response) : h('p', {class: 'note'}, each.status ? 'An empty answer.' : 'No answer came.'))))));
}
