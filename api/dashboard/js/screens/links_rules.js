// The rules of a link, in their order, and a visit to try them with.

import {h, fill, icon, typed} from '../dom.js';
import {get} from '../api.js';
import {button} from '../controls.js';
import {field} from '../form.js';
import {country, language, plural, value} from '../format.js';
import {say} from '../toast.js';

const MOST = 50;
/** Conditions that the editor offers; others are kept as they are. */
const CONDITIONS = /** @type {[string, string, string][]} */ ([
  ['country', 'Country', 'DE, AT'], ['device', 'Device', 'phone, tablet'], ['os', 'System', 'iOS, Android'], ['browser', 'Browser', 'Chrome'], ['language', 'Language', 'de, pt-br'],
  ['source', 'Source', 'Instagram'], ['continent', 'Continent', 'EU'], ['region', 'Region', 'DE-BY'], ['city', 'City', 'Munich, DE'], ['ip', 'Address', '192.0.2.0/24'],
]);
const WORDS = Object.fromEntries(CONDITIONS.map(([name, words]) => [name, words]));

/** @param {string} name @param {string} text a list as it is typed */
const listed = (name, text) => (name === 'city' ? text.split(';') : text.split(',')).map(each => each.trim()).filter(Boolean);
/** @param {string} name @param {string[]} values */
const joined = (name, values) => values.join(name === 'city' ? '; ' : ', ');

/**
 * The editor of rules. `rules()` returns them as the API takes them.
 * @param {any[]} given @param {boolean} writes @param {() => void} changed
 */
export function rulesEditor(given, writes, changed) {
  let rules = structuredClone(given ?? []);
  const list = h('ol', {class: 'rules'}), foot = h('p', {class: 'rowb rowpad'}), touched = () => { draw(); changed(); };
  const move = (/** @type {number} */ at, /** @type {number} */ step) => {
    const [rule] = rules.splice(at, 1);
    rules.splice(at + step, 0, rule);
    touched();
    say(`Rule ${at + step + 1} of ${rules.length}`);
  };

  /** @param {any} rule @param {number} at */
  function drawn(rule, at) {
    const name = `rule ${at + 1}`, {when} = rule, kept = Object.keys(when).filter(each => !WORDS[each] && each !== 'percentage');
    const add = h('select', {'aria-label': `Add a condition to ${name}`, onchange: () => { if (add.value === 'percentage') when.percentage = 50; else if (add.value) when[add.value] = []; touched(); }},
      h('option', {value: ''}, '+ and …'), CONDITIONS.filter(([one]) => !(one in when)).map(([one, words]) => h('option', {value: one}, words)), 'percentage' in when ? null : h('option', {value: 'percentage'}, 'A share of visitors'));
    return h('li', {class: 'rule', 'data-name': `rules[${at}]`},
      h('div', {class: 'when'}, Object.keys(when).length ? null : 'everybody',
        Object.keys(when).filter(each => WORDS[each]).map(each => condition(rule, each, name)),
        when.percentage == null ? null : h('label', {class: 'condition'}, 'Share', h('input', {type: 'number', min: 0, max: 100, step: 'any', value: when.percentage, 'aria-label': `Percent of visitors in ${name}`, onchange: (/** @type {any} */ event) => { when.percentage = Number(event.target.value); changed(); }}), '%', drop(when, 'percentage')),
        kept.map(each => h('span', {class: 'tag'}, `and ${each}`)), writes && add,
        writes && h('span', {class: 'end'}, button('', {icon: 'arrow-up', class: 'sq', 'aria-label': `Move ${name} up`, disabled: !at, onclick: () => move(at, -1)}), button('', {icon: 'arrow-down', class: 'sq', 'aria-label': `Move ${name} down`, disabled: at === rules.length - 1, onclick: () => move(at, 1)}), button('', {icon: 'x', class: 'sq', 'aria-label': `Remove ${name}`, onclick: () => { rules.splice(at, 1); touched(); }}))),
      h('label', {class: 'to'}, 'leads to', h('input', {type: 'url', inputmode: 'url', value: rule.target, 'aria-label': `Target of ${name}`, disabled: !writes, oninput: (/** @type {any} */ event) => { rule.target = event.target.value; }, onchange: changed})));
  }

  /** @param {any} rule @param {string} each @param {string} name */
  function condition(rule, each, name) {
    const [, words, example] = /** @type {any} */ (CONDITIONS.find(([one]) => one === each));
    return h('label', {class: 'condition'}, words, h('input', {value: joined(each, rule.when[each]), placeholder: example, 'aria-label': `${words} in ${name}`, autocomplete: 'off', disabled: !writes, onchange: (/** @type {any} */ event) => { rule.when[each] = listed(each, event.target.value); changed(); }}), writes && drop(rule.when, each));
  }

  /** @param {any} when @param {string} each */
  const drop = (when, each) => h('button', {type: 'button', class: 'link', 'aria-label': `Remove the condition ${WORDS[each] ?? 'share'}`, onclick: () => { delete when[each]; touched(); }}, '×');

  function draw() {
    fill(list, rules.map(drawn), h('li', {class: 'rule else'}, h('div', {class: 'when'}, rules.length ? 'everybody else is led to the target above' : 'everybody is led to the target above')));
    fill(foot, writes && button('Add a rule', {icon: 'plus', class: 'small', disabled: rules.length >= MOST, onclick: () => { rules.push({when: {country: []}, target: ''}); touched(); }}), h('span', {class: 'note'}, rules.length ? `The first that fits. ${plural(rules.length, 'rule')} of ${MOST}.` : ''));
  }
  draw();
  return {element: h('div', {}, list, foot), rules: () => rules.map((/** @type {any} */ rule) => ({...rule, when: Object.fromEntries(Object.entries(rule.when).filter(([, values]) => !Array.isArray(values) || values.length))}))};
}

/** Try a visit on the link as it is saved. @param {any} link */
export function tryIt(link) {
  const answer = h('div', {class: 'answer', role: 'status'});
  const pick = (/** @type {string} */ label, /** @type {string} */ name, /** @type {[string, string][]} */ items) => field(label, h('select', {name, onchange: ask}, h('option', {value: ''}, 'any'), items.map(([one, words]) => h('option', {value: one}, words))));
  const countries = ['DE', 'AT', 'CH', 'FR', 'IT', 'ES', 'GB', 'US', 'BR', 'JP', 'IN', 'MA'].map(one => /** @type {[string, string]} */ ([one, country(one)]));
  const box = h('div', {class: 'three'}, pick('Country', 'country', countries), pick('Device', 'device', ['phone', 'tablet', 'desktop', 'tv'].map(one => [one, value('device', one)])), pick('System', 'os', ['iOS', 'Android', 'Windows', 'macOS', 'Linux'].map(one => [one, one])), pick('Language', 'language', ['de', 'en', 'fr', 'it', 'es', 'pt', 'ar', 'ja'].map(one => [one, language(one)])));
  async function ask() {
    const search = new URLSearchParams();
    for (const select of box.querySelectorAll('select')) if (select.value) search.set(select.name, select.value);
    try {
      const said = await get(`/v1/links/${link.id}/explain?${search}`);
      fill(answer, h('p', {}, h('b', {}, said.rule == null ? 'No rule fits' : `Rule ${said.rule + 1} fits`), ': ', said.target ? ['they are led to ', h('b', {}, typed(said.target)), '.'] : 'they are led nowhere.'),
        h('ul', {class: 'checks'}, said.rules.map((/** @type {any} */ rule) => h('li', {class: rule.met ? null : 'no'}, icon(rule.met ? 'check' : 'x'), `Rule ${rule.rule + 1}${rule.met ? ' fits' : ` does not: ${WORDS[rule.unmet] ?? rule.unmet ?? 'another one was before'}`}`))));
    } catch (problem) {
      if (!('status' in /** @type {any} */ (problem))) throw problem;
      fill(answer, h('p', {class: 'note'}, /** @type {any} */ (problem).detail));
    }
  }
  ask();
  return [box, answer];
}
