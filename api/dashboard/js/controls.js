// Small controls: buttons, tags, segments, tabs.

import {h, icon as drawn, newId} from './dom.js';

/** @param {any} text @param {any} [attributes] `icon`: a name of Lucide */
export function button(text, {icon: name, class: more = '', ...attributes} = {}) {
  return h('button', {type: 'button', ...attributes, class: `btn ${more}`}, name && drawn(name), text);
}

/** A link that looks like a button. @param {any} text @param {any} attributes */
export function linkButton(text, {icon: name, class: more = '', ...attributes}) {
  return h('a', {...attributes, class: `btn ${more}`}, name && drawn(name), text);
}

/** @param {'' | 'ok' | 'warn' | 'bad' | 'info'} kind @param {any} text */
export const tag = (kind, text) => h('span', {class: `tag ${kind}`}, text);

/** Keys as they are pressed. @param {...string} keys */
export const kbd = (...keys) => keys.map(key => h('kbd', {}, key));

/**
 * Choose one of a few; `items` are [value, text].
 * @param {string} label @param {[string, any][]} items @param {string} chosen @param {(value: string) => void} choose
 */
export function segments(label, items, chosen, choose) {
  const all = items.map(([value, text]) => h('button', {type: 'button', 'aria-pressed': String(value === chosen), onclick: () => {
    all.forEach((each, i) => each.setAttribute('aria-pressed', String(items[i][0] === value)));
    choose(value);
  }}, text));
  return h('div', {class: 'seg', role: 'group', 'aria-label': label}, all);
}

/**
 * A strip of tabs with its panel; arrows move. `items` are [value, text]; `panel(value)` returns what the panel shows.
 * @param {string} label @param {[string, string][]} items @param {string} chosen
 * @param {(value: string) => any} panel @param {(value: string) => void} [choose]
 * @returns {[HTMLElement, HTMLElement]}
 */
export function tabs(label, items, chosen, panel, choose = () => {}) {
  const box = h('div', {role: 'tabpanel', id: newId('panel')});
  const show = (/** @type {number} */ at) => {
    all.forEach((tab, i) => { tab.setAttribute('aria-selected', String(i === at)); tab.tabIndex = i === at ? 0 : -1; });
    box.setAttribute('aria-label', items[at][1]);
    box.replaceChildren(...[panel(items[at][0])].flat().filter(Boolean));
  };
  const all = items.map(([value, text], i) => h('button', {
    type: 'button', role: 'tab', 'aria-controls': box.id,
    onclick: () => { show(i); choose(value); },
    onkeydown: (/** @type {KeyboardEvent} */ event) => {
      const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
      if (!step) return;
      event.preventDefault();
      const next = (i + step + all.length) % all.length;
      show(next);
      all[next].focus();
      choose(items[next][0]);
    },
  }, text));
  show(Math.max(0, items.findIndex(([value]) => value === chosen)));
  return [h('div', {class: 'tabs', role: 'tablist', 'aria-label': label}, all), box];
}
