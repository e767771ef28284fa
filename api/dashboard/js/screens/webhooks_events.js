// The events that a webhook gets: a text that a list of boxes fills in.

import {h} from '../dom.js';
import {field} from '../form.js';

/** The types that a text names, with commas or blanks between them. @param {string} text */
export const typesOf = text => [...new Set(text.split(/[\s,]+/).filter(Boolean))];

/** Whether names cover a type: itself, its kind, or all that need no naming. @param {string[]} names @param {any} type */
const covers = (names, type) => names.includes(type.name) || (!type.opt_in && (names.includes('*') || names.includes(`${type.name.split('.')[0]}.*`)));

/**
 * A field `event_types` with the boxes of all types.
 * @param {string[]} chosen names of types @param {any[]} types the items of GET /v1/event-types
 */
export function eventsField(chosen, types) {
  const input = h('input', {name: 'event_types', required: true, value: chosen.join(', '), spellcheck: 'false', autocapitalize: 'none', autocomplete: 'off', dir: 'ltr', oninput: () => draw()});
  const boxes = types.map(type => h('input', {type: 'checkbox', onchange: (/** @type {any} */ event) => choose(type, event.target.checked)}));
  const draw = () => boxes.forEach((box, i) => { box.checked = covers(typesOf(input.value), types[i]); });
  /** @param {any} type @param {boolean} on */
  function choose(type, on) {
    const names = typesOf(input.value);
    // A name that covers more is spelt out before one of its types is left out.
    const spelt = types.filter(each => covers(names, each)).map(each => each.name);
    input.value = (on ? [...names, type.name] : spelt.filter(name => name !== type.name)).join(', ');
    input.dispatchEvent(new Event('input', {bubbles: true}));
  }
  draw();
  return h('div', {class: 'events'}, field('Events', input, {help: 'With commas between them: link.* for all of a kind, * for all. Clicks come only if link.clicked is named.'}),
    types.length ? h('details', {}, h('summary', {}, 'Choose from the list'), h('ul', {class: 'eventlist'}, types.map((type, i) => h('li', {}, h('label', {}, boxes[i], h('span', {}, h('code', {}, type.name), h('small', {}, type.description))))))) : null);
}
