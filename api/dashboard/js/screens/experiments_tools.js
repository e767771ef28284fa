// Tools beside an experiment: why a visitor gets a variant, how many visitors a test needs, what was done to it.

import {h, fill, icon, svg, typed} from '../dom.js';
import {get} from '../api.js';
import {button} from '../controls.js';
import {card} from '../card.js';
import {field, form} from '../form.js';
import {ago} from '../clock.js';
import {country, number, percent, signed, value, words} from '../format.js';
import {colourOf} from './experiments_band.js';

const DEVICES = ['desktop', 'phone', 'tablet', 'tv', 'console', 'other'], PLAN_WAIT_MS = 250;

/** "Why this variant?" @param {any} experiment */
export function whyCard(experiment) {
  const {targeting} = experiment, answer = h('div', {class: 'answer', role: 'status', hidden: true});
  const agent = h('input', {name: 'user_agent', autocomplete: 'off', spellcheck: 'false', class: 'ltr', maxlength: 512});
  const ask = form([
    field('Address', h('input', {name: 'address', required: true, autocomplete: 'off', spellcheck: 'false', class: 'ltr', placeholder: '203.0.113.7'})),
    field('User agent', agent),
    h('div', {class: 'trio'}, field('Country', h('input', {name: 'country', maxlength: 2, size: 2, placeholder: targeting.countries[0] ?? 'IT'})), field('Device', h('select', {name: 'device'}, h('option', {value: ''}, 'Any'), DEVICES.map(device => h('option', {value: device}, value('device', device))))), field('Language', h('input', {name: 'language', maxlength: 3, placeholder: targeting.languages[0] ?? 'it'})))], {
    action: 'Explain', foot: button('My browser', {icon: 'user', onclick: () => { agent.value = navigator.userAgent; }}),
    async send(values) {
      const query = new URLSearchParams({address: values.address.trim(), user_agent: values.user_agent});
      for (const name of ['country', 'device', 'language']) if (values[name]) query.set(name, name === 'country' ? values[name].toUpperCase() : values[name].toLowerCase());
      const why = await get(`/v1/experiments/${experiment.id}/explain?${query}`);
      fill(answer, h('p', {}, why.variant ? ['They get ', h('b', {}, typed(why.variant)), why.reason === 'assigned' ? ', today and until their network or browser changes.' : '.'] : 'They take no part.'), why.bucket != null && place(experiment, why.bucket), checks(experiment, why));
      answer.hidden = false;
    },
  });
  return card('Why this variant?', {class: 'c4 full'}, h('div', {class: 'body'}, ask, answer, h('p', {class: 'note'}, 'Neither address nor browser is stored or logged.')));
}

/** The visitor's place among the variants. @param {any} experiment @param {number} bucket 0 to 1 */
function place(experiment, bucket) {
  const sum = experiment.variants.reduce((/** @type {number} */ total, /** @type {any} */ variant) => total + variant.weight, 0) || 1;
  let left = 0;
  const parts = experiment.variants.map((/** @type {any} */ variant, /** @type {number} */ i) => {
    const width = variant.weight / sum * 300, x = left;
    left += width;
    return width < 3 ? null : [svg('rect', {class: colourOf(i) || 'ctl', x: x + 1, y: 16, width: width - 2, height: 12, rx: 3}), width > 46 && svg('text', {x: x + width / 2, y: 42, 'text-anchor': 'middle'}, variant.name.slice(0, Math.floor(width / 7)))];
  });
  const x = bucket * 300;
  return svg('svg', {class: 'place', viewBox: '0 0 300 46', role: 'img', 'aria-label': `Place ${number(bucket, 4)} between 0 and 1`}, parts, svg('path', {class: 'ptr', d: `M${x - 5} 12h10l-5 7zM${x} 16v15`}), svg('text', {class: 'tt', x: Math.max(24, Math.min(276, x)), y: 9, 'text-anchor': 'middle'}, number(bucket, 4)));
}

/** What was looked at, up to what kept the visitor out. @param {any} experiment @param {any} why */
function checks(experiment, why) {
  const {targeting} = experiment, among = (/** @type {string[]} */ all) => all.join(', ');
  if (why.reason === 'decided' || why.reason === 'forced') return h('p', {class: 'note'}, why.reason === 'decided' ? 'The experiment is decided: everybody gets the winner.' : 'A preview shows it, and it does not count.');
  /** @type {[string[], string][]} */
  const steps = [[['state'], 'it is running'], [['early', 'late'], 'within its dates'], [['bot'], 'a person, not a machine']];
  if (targeting.countries.length) steps.push([['country'], `from ${among(targeting.countries.map(country))}`]);
  if (targeting.devices.length) steps.push([['device'], `on ${among(targeting.devices.map((/** @type {string} */ device) => value('device', device)))}`]);
  if (targeting.languages.length) steps.push([['language'], `reads ${among(targeting.languages)}`]);
  if (experiment.namespace) steps.push([['namespace'], 'in its part of the namespace']);
  steps.push([['coverage'], `within the ${percent(experiment.coverage, 0)} that take part`]);
  const stop = steps.findIndex(([reasons]) => reasons.includes(why.reason)), shown = stop < 0 ? steps : steps.slice(0, stop + 1);
  return h('ul', {class: 'checks'}, shown.map(([, text], i) => h('li', {class: i === stop ? 'no' : null}, icon(i === stop ? 'x' : 'check'), i === stop ? `not: ${text}` : text)));
}

/** The plan, by sliders. @param {any} experiment @param {any} [results] */
export function planCard(experiment, results) {
  const rate = results?.variants[0].rate || 0.05, started = Date.parse(experiment.started_at ?? ''), days = Math.max(1, (Date.now() - started) / 86_400_000);
  const seen = results ? results.variants.reduce((/** @type {number} */ sum, /** @type {any} */ variant) => sum + variant.visitors, 0) / days : 0;
  const plan = {rate: Math.min(50, Math.max(0.5, Math.round(rate * 1000) / 10)), lift: 15, day: Math.min(20_000, Math.max(50, Math.round((seen || 500) / 50) * 50))};
  const answer = h('div', {class: 'say2', role: 'status'});
  let timer = 0, round = 0;
  async function ask() {
    const mine = ++round;
    try {
      const planned = await get(`/v1/experiment-plan?rate=${plan.rate / 100}&lift=${plan.lift / 100}&visitors_per_day=${plan.day}&alpha=${experiment.analysis.alpha}&coverage=${experiment.coverage || 1}&tuning_visitors=${experiment.analysis.tuning_visitors}`);
      if (mine !== round) return;
      const {sequential, fixed} = planned;
      fill(answer, h('p', {}, 'Decided in at most about ', h('b', {}, daysOf(sequential.days)), `, with ${number(Math.round(sequential.visitors / 2))} visitors in each variant; half of such tests end much sooner.`), h('p', {class: 'note'}, `With a single look at the end: ${daysOf(fixed.days)}, ${number(Math.round(fixed.visitors / 2))} in each.`));
    } catch (problem) {
      if (mine === round) fill(answer, h('p', {class: 'note'}, /** @type {any} */ (problem).errors?.[0]?.reason ?? /** @type {any} */ (problem).title ?? 'The plan could not be made.'));
    }
  }
  const knob = (/** @type {'rate' | 'lift' | 'day'} */ name, /** @type {string} */ label, /** @type {number} */ min, /** @type {number} */ max, /** @type {number} */ step, /** @type {() => string} */ show) => {
    const out = h('output', {}, show());
    const input = h('input', {type: 'range', min, max, step, value: plan[name], 'aria-valuetext': show(), oninput: () => {
      plan[name] = Number(input.value);
      out.textContent = show();
      input.setAttribute('aria-valuetext', show());
      clearTimeout(timer);
      timer = setTimeout(ask, PLAN_WAIT_MS);
    }});
    return h('label', {class: 'knob'}, h('span', {}, label), out, input);
  };
  ask();
  return card('Plan', {class: 'c4'}, h('div', {class: 'body form'}, knob('rate', 'Rate of the control', 0.5, 50, 0.1, () => `${number(plan.rate, 1)} %`),
    knob('lift', 'Lift worth finding', 2, 100, 1, () => `+${plan.lift} % (${signed(plan.rate * plan.lift / 100)} points)`), knob('day', 'Visitors a day', 50, 20_000, 50, () => number(plan.day)), answer));
}

/** @param {number} days */
const daysOf = days => (days < 1 ? 'a day' : days > 3650 ? 'more than ten years' : `${number(Math.ceil(days))} ${Math.ceil(days) === 1 ? 'day' : 'days'}`);

/** @param {any} entry */
function doneIn({action, before, after}) {
  if (after?.state && before?.state !== after.state && before) return `${words(after.state)}${after.state === 'running' && after.phase > 1 ? `, phase ${after.phase}` : ''}`;
  if (before?.phase && after?.phase > before.phase) return `Changed, phase ${after.phase} began`;
  return words(action.split('.').at(-1));
}

/** What was done to the experiment, the latest first. @param {any} profile @param {any} experiment */
export function activityCard(profile, experiment) {
  const list = h('ol', {class: 'steps'});
  const load = async () => {
    const {items} = await get(`/v1/profiles/${profile.id}/activity?object_id=${experiment.id}&limit=8`).catch(() => ({items: []})); // not for every role
    fill(list, items.length ? items.map((/** @type {any} */ entry) => h('li', {}, h('b', {}, doneIn(entry)), h('small', {class: 'who'}, ago(entry.at), ' · ', entry.user ? typed(entry.user.email) : entry.key_id ? 'a key' : 'Waypost'))) : h('li', {}, h('small', {}, 'Nothing to show.')));
  };
  load();
  return Object.assign(card('Activity', {class: 'c4 full'}, list), {load});
}
