// Fields of a block or of the page, from their rows in a table: each change is written at once.

import {h, fill, newId} from '../dom.js';
import {button} from '../controls.js';
import {field} from '../form.js';
import {zone as localZone} from '../format.js';
import {pictureField} from './page_pictures.js';

/**
 * @typedef {object} Place what fields are of
 * @property {() => any} value the object whose fields they are
 * @property {(name: string, value: any, whole?: boolean) => void} set writes one; `whole`: not by typing
 * @property {any} context `{profile, links, pictures, off}`
 * @property {string} [prefix] of the names in problems, such as "items[0]."
 */

/** A time of the API as an input of local time has it, and back. @param {string | null} time */
const localOf = time => (time ? new Date(Date.parse(time) - new Date(time).getTimezoneOffset() * 60_000).toISOString().slice(0, 16) : '');

/** @type {Record<string, (row: import('./page_kinds.js').Row, place: Place) => any>} */
const CONTROLS = {
  text: (row, place) => typedField(row, place, h('input', {autocomplete: 'off', dir: 'auto', maxlength: row[3]?.max})),
  url: (row, place) => typedField(row, place, h('input', {autocomplete: 'off', dir: 'ltr', inputmode: 'url', spellcheck: 'false', maxlength: 32768, placeholder: 'https://'})),
  lines: (row, place) => typedField(row, place, h('textarea', {rows: 4, dir: 'auto', maxlength: row[3]?.max})),
  number: (row, place) => typedField(row, place, h('input', {type: 'number', min: row[3]?.min, max: row[3]?.max}), text => (text === '' ? null : Number(text))),
  moment: (row, place) => typedField([row[0], row[1], row[2], {help: `In your zone, ${localZone()}.`}], place, h('input', {type: 'datetime-local'}), text => (text ? new Date(text).toISOString() : null), localOf),
  choice: (row, place) => chosenField(row, place, row[3].items, row[3].usual),
  zone: (row, place) => chosenField(row, place, ['UTC', ...Intl.supportedValuesOf('timeZone').filter(name => name !== 'UTC')].map(name => [name, name.replaceAll('_', ' ')]), row[3].usual),
  link: (row, place) => linkField(row, place, [...place.context.links.values()]),
  repository: (row, place) => linkField(row, place, [...place.context.links.values()].filter(link => link.kind === 'github')),
  picture: (row, place) => pictureField(row, place),
  check: ([name, , label], {value, set, context}) => h('label', {class: 'check'}, h('input', {type: 'checkbox', name, checked: Boolean(value()[name]), disabled: context.off, onchange: (/** @type {any} */ event) => set(name, event.target.checked || null, true)}), label),
  items: (row, place) => itemsField(row, place),
};

/** Return the fields of rows. @param {import('./page_kinds.js').Row[]} rows @param {Place} place */
export const fieldsOf = (rows, place) => rows.map(row => CONTROLS[row[1]](row, place));

/**
 * @param {import('./page_kinds.js').Row} row @param {Place} place @param {any} control
 * @param {(text: string) => any} [read] @param {(value: any) => string} [shown]
 */
function typedField([name, , label, more = {}], {value, set, context, prefix = ''}, control, read = text => text || null, shown = known => known ?? '') {
  control.name = prefix + name;
  control.value = shown(value()[name]);
  control.disabled = context.off;
  control.addEventListener('input', () => { if (!control.validity.badInput) set(name, read(control.value)); });
  return field(label, control, {help: more.help, max: control.type === 'number' ? undefined : more.max});
}

/** @param {import('./page_kinds.js').Row} row @param {Place} place @param {any[][]} items @param {string} [usual] what it is if left out */
function chosenField([name, , label, more = {}], {value, set, context, prefix = ''}, items, usual = '') {
  const now = value()[name] || usual, known = items.some(([each]) => each === now) || !now ? items : [[now, 'One that is gone'], ...items];
  return field(label, h('select', {name: prefix + name, disabled: context.off, onchange: (/** @type {any} */ event) => set(name, event.target.value === usual ? null : event.target.value, true)},
    known.map(([each, words]) => h('option', {value: each, selected: each === now}, words))), {help: more.help});
}

/** @param {import('./page_kinds.js').Row} row @param {Place} place @param {any[]} links */
function linkField(row, place, links) {
  const items = links.map(link => [link.id, `${link.title || link.slug} · /${link.slug}`]), {none} = row[3] ?? {};
  const missing = row[1] === 'repository' ? 'No link leads to a repository on GitHub: make one first' : 'There is no link: make one first';
  const first = none ? [['', none]] : place.value()[row[0]] ? [] : [['', items.length ? 'Choose one' : missing]];
  return chosenField(row, place, [...first, ...items], '');
}

/** A list of parts, such as the questions of a block. @param {import('./page_kinds.js').Row} row @param {Place} place */
function itemsField([name, , label, {fields, min, max, fresh = () => ({})}], place) {
  const box = h('div', {class: 'items', 'data-name': (place.prefix ?? '') + name}), said = h('small', {class: 'bad', hidden: true});
  const list = () => place.value()[name] ?? [];
  const put = (/** @type {any[]} */ items) => { place.set(name, items, true); draw(); };
  function draw() {
    const items = list();
    fill(box, items.map((/** @type {any} */ _, /** @type {number} */ at) => {
      const id = newId('part');
      return h('div', {class: 'part', role: 'group', 'aria-labelledby': id}, h('div', {class: 'parthead'}, h('b', {id}, `${label} ${at + 1}`),
        !place.context.off && at > 0 && button('', {icon: 'arrow-up', class: 'sq', 'aria-label': `Move ${label.toLowerCase()} ${at + 1} up`, onclick: () => put(list().map((/** @type {any} */ each, /** @type {number} */ i, /** @type {any[]} */ all) => (i === at ? all[at - 1] : i === at - 1 ? all[at] : each)))}),
        !place.context.off && items.length > min && button('', {icon: 'x', class: 'sq', 'aria-label': `Take ${label.toLowerCase()} ${at + 1} out`, onclick: () => put(list().filter((/** @type {any} */ each, /** @type {number} */ i) => i !== at))})),
      // The service of an account follows from its URL.
      fieldsOf(fields, {
        context: place.context, prefix: `${place.prefix ?? ''}${name}[${at}].`, value: () => list()[at] ?? {},
        set: (part, value, whole) => place.set(name, list().map((/** @type {any} */ each, /** @type {number} */ i) => (i === at ? written(part === 'url' ? written(each, 'service', null) : each, part, value) : each)), whole),
      }));
    }), said, !place.context.off && items.length < max && h('div', {class: 'rowb'}, button(`Add: ${label.toLowerCase()}`, {icon: 'plus', class: 'small', onclick: () => put([...list(), fresh()])})));
  }
  draw();
  return box;
}

/** Return the object with one field written; null takes it out. @param {any} object @param {string} name @param {any} value */
export function written(object, name, value) {
  const {[name]: _, ...rest} = object;
  return value === null ? rest : {...rest, [name]: value};
}
