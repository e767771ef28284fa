// The page beside its blocks: its head, its theme and colours, and the card that networks show.

import {h, fill} from '../dom.js';
import {button, segments} from '../controls.js';
import {field} from '../form.js';
import {plural} from '../format.js';
import {fieldsOf, written} from './page_fields.js';
import {HEADER, SHARING} from './page_kinds.js';
import {markAll} from './page_blocks.js';

const THEMES = [
  ['garden', 'Garden', 'Warm paper, leaf green'], ['paper', 'Paper', 'White, with a book’s letters'], ['night', 'Night', 'Dark and quiet'], ['clay', 'Clay', 'Earthen and soft'],
  ['tide', 'Tide', 'Cool, of the sea'], ['bold', 'Bold', 'Strong lines, large letters'], ['press', 'Press', 'As a newspaper'], ['mono', 'Mono', 'As typed by a machine'],
];
const SCHEMES = /** @type {[string, string][]} */ ([['auto', 'As the device'], ['light', 'Light'], ['dark', 'Dark']]);

/** @typedef {import('./page_draft.js').Draft} Draft */

/** @param {Draft} draft @param {any} context */
const placeOf = (draft, context) => ({context, value: () => draft.page, set(/** @type {string} */ name, /** @type {any} */ value, whole = false) {
  draft.edit(name, () => { draft.page = written(draft.page, name, value); }, whole ? 'page' : 'text');
}});

/** @param {any} element @param {Draft} draft @param {string} [prefix] of the fields' names in problems */
const panel = (element, draft, prefix = '') => ({element, draw() {
  markAll(element, draft.errorsOf().filter(error => error.field.startsWith(prefix)).map(error => ({...error, field: error.field.slice(prefix.length)})));
}});

/** @param {Draft} draft @param {any} context */
export const headerPanel = (draft, context) => panel(h('div', {class: 'card pad'}, fieldsOf(HEADER, placeOf(draft, context))), draft);

/** @param {Draft} draft @param {any} context */
export function sharingPanel(draft, context) {
  const place = placeOf(draft, context), sharing = {...place, value: () => draft.page.sharing ?? {}, set(/** @type {string} */ name, /** @type {any} */ value, whole = false) {
    draft.edit(`sharing.${name}`, page => { page.sharing = written(page.sharing ?? {}, name, value); }, whole ? 'page' : 'text');
  }};
  const listed = h('label', {class: 'check'}, h('input', {type: 'checkbox', checked: draft.page.indexing !== false, disabled: context.off, onchange: (/** @type {any} */ event) => place.set('indexing', event.target.checked, true)}), 'Search engines may list the page');
  const {length} = draft.page.translations ?? [];
  return panel(h('div', {class: 'card pad'}, h('p', {class: 'note'}, 'What networks and messengers show when somebody shares the page.'), fieldsOf(SHARING, sharing), listed,
    length > 0 && h('p', {class: 'note'}, `${plural(length, 'translation')} of the page ${length === 1 ? 'is' : 'are'} kept; the API changes translations.`)), draft, 'sharing.');
}

/** @param {Draft} draft @param {any} context */
export function themePanel(draft, context) {
  const place = placeOf(draft, context), said = h('ul', {class: 'corrections', 'aria-label': 'Colours that visitors get in another shade'});
  const themes = h('fieldset', {class: 'themes', disabled: context.off}, h('legend', {}, 'Theme'), THEMES.map(([name, words, help]) => h('label', {}, h('input', {type: 'radio', name: 'theme', value: name, checked: draft.page.theme === name, onchange: () => place.set('theme', name, true)}), h('span', {}, h('b', {}, words), h('small', {}, help)))));
  const scheme = context.off ? h('p', {}, SCHEMES.find(([name]) => name === draft.page.scheme)?.[1]) : segments('Colours for', SCHEMES, draft.page.scheme, value => place.set('scheme', value, true));
  return {element: h('div', {class: 'card pad'}, themes, h('div', {class: 'field'}, h('span', {class: 'label'}, 'Light or dark'), scheme), colour('accent', 'Accent'), colour('background', 'Background'), said), draw() {
    fill(said, draft.corrections.map((/** @type {any} */ each) => h('li', {}, `${each.field === 'accent' ? 'Accent' : 'Background'}, ${each.scheme}: `, h('b', {}, each.wanted), ' becomes ', h('b', {}, each.used), `. ${each.reason[0].toUpperCase()}${each.reason.slice(1)}.`)));
    said.hidden = !draft.corrections.length;
  }};

  /** @param {'accent' | 'background'} name @param {string} words */
  function colour(name, words) {
    const own = draft.page[name], note = h('span', {class: 'note'}, own || 'the theme’s own');
    const input = h('input', {type: 'color', name, value: own || (name === 'accent' ? context.colours[0] : context.colours[1]), disabled: context.off, oninput() { place.set(name, input.value); note.textContent = input.value; }});
    const own2 = button('Theme’s own', {class: 'small', 'aria-label': `${words}: the theme’s own`, onclick() { place.set(name, null, true); note.textContent = 'the theme’s own'; }});
    return field(words, h('div', {class: 'picked'}, input, note, !context.off && own2));
  }
}
