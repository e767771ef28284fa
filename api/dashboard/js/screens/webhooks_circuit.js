// The circuit breaker of a webhook: whether it sends, rests or tries one, and for how long it rests.

import {h, fill} from '../dom.js';
import {card} from '../card.js';
import {now} from '../clock.js';
import {dateTime, duration, number} from '../format.js';
import {say} from '../toast.js';

const STEPS = /** @type {[string, string][]} */ ([['closed', 'sends'], ['open', 'rests'], ['half_open', 'tries one']]);
const TRIPS = 5, DISABLED_MS = 5 * 86_400_000;

/** @param {any} view with `hook` and `hooks`, its polling */
export function circuitCard(view) {
  const place = h('div', {class: 'body form'}), left = h('b', {}), bar = h('progress', {'aria-label': 'Rest'}), rest = h('div', {class: 'rest', hidden: true}, h('p', {class: 'split2'}, h('span', {}, 'Rests for another'), left), bar);
  const element = card('Circuit', {class: 'c4'}, place);
  let state = '', length = 0;
  // Counted in the page; told only when the state changes.
  function count() {
    const {enabled, circuit} = view.hook ?? {}, ms = enabled && circuit?.until ? Date.parse(circuit.until) - now() : 0;
    length = ms > 0 ? Math.max(length, ms) : 0;
    rest.hidden = ms <= 0;
    if (ms > 0) { left.textContent = duration(Math.ceil(ms / 1000)); bar.max = length; bar.value = length - ms; }
    else if (circuit?.until && circuit.state === 'open') view.hooks.now();
  }
  const timer = setInterval(() => { if (!document.hidden && view.hook?.circuit.until) count(); }, 1000);
  function draw() {
    const {hook} = view, {circuit, failing_since: failing} = hook, step = hook.enabled ? circuit.state : '';
    if (state && step !== state) say(step ? `It ${STEPS.find(([name]) => name === step)?.[1]}` : 'Nothing is sent');
    state = step;
    fill(place,
      h('ol', {class: 'circuit', 'aria-label': 'What it does'}, STEPS.flatMap(([name, text], i) => [i ? h('li', {class: 'arrow', 'aria-hidden': 'true'}, '→') : null, h('li', {class: name === step ? (name === 'closed' ? 'on well' : 'on') : null, 'aria-current': name === step ? 'step' : null}, text)])),
      rest,
      h('dl', {class: 'kv'}, h('dt', {}, 'Failures in a row'), h('dd', {}, circuit.failures ? h('span', {class: 'pips', 'aria-hidden': 'true'}, Array.from({length: TRIPS}, (_, i) => h('i', {class: i < circuit.failures ? 'f' : null}))) : null, number(circuit.failures)),
        h('dt', {}, 'At once, at most'), h('dd', {}, hook.ordered ? '1' : hook.max_concurrency ? number(hook.max_concurrency) : 'the server’s limit'), h('dt', {}, 'A second, at most'), h('dd', {}, hook.max_rate ? number(hook.max_rate) : 'the server’s limit'),
        failing ? [h('dt', {}, 'Nothing taken since'), h('dd', {}, dateTime(failing)), hook.enabled ? [h('dt', {}, 'Disabled by itself'), h('dd', {}, dateTime(Date.parse(failing) + DISABLED_MS))] : null] : null),
      h('p', {class: 'note'}, failing ? 'Resting uses up no try. Events keep their place; nothing is lost for 30 days.' : 'After five failures in a row it rests, at most a minute at a time.'));
    count();
  }
  return {element, draw, end: () => clearInterval(timer)};
}
