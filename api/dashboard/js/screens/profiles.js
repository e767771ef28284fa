// All profiles of the reader, each with its last 30 days.

import {h, fill, typed, whenFree} from '../dom.js';
import {get, change, poll} from '../api.js';
import {profiles, lastHandle} from '../account.js';
import {button} from '../controls.js';
import {dialog} from '../dialog.js';
import {field, form} from '../form.js';
import {number, plural} from '../format.js';
import {spark} from '../figures.js';
import {face, nameOf} from '../shell.js';
import {top, problemView} from '../card.js';
import {go} from '../url.js';

const EVERY_MS = 30_000;
const AT_ONCE = 20; // profiles of one question

/** @type {{stop: () => void} | null} */
let polling = null;

/** @param {HTMLElement} root @param {import('../url.js').State} state */
export async function show(root, state) {
  const all = await profiles(), last = lastHandle();
  if (state.path === '/') {
    const profile = all.find(each => each.handle === last) ?? (all.length === 1 ? all[0] : null);
    if (profile) return go(`/p/${encodeURIComponent(profile.handle)}`, {replace: true});
  }
  const grid = h('ul', {class: 'profiles'});
  const filter = h('input', {type: 'search', placeholder: 'Find', 'aria-label': 'Find a profile', oninput: () => draw(latest)});
  /** @type {Map<string, any>} */
  let latest = new Map();
  const draw = (/** @type {Map<string, any>} */ counts) => {
    latest = counts;
    const query = filter.value.trim().toLowerCase();
    const fitting = all.filter(profile => `${profile.handle} ${profile.title}`.toLowerCase().includes(query));
    fill(grid, fitting.map(profile => tile(profile, counts.get(profile.id))));
  };
  root.append(top('Profiles', all.length > 6 && h('div', {class: 'searchbox'}, filter), button('New profile', {icon: 'plus', class: 'main', onclick: create})), grid);
  draw(latest);
  if (!all.length) return root.append(h('p', {class: 'note'}, 'You have no profile yet. A profile is a page with links, and the counts of its visitors.'));
  polling = poll(() => counted(all), EVERY_MS, counts => whenFree(() => draw(counts)), problem => { if (!latest.size) root.append(problemView(problem)); });
}

export function leave() {
  polling?.stop();
  polling = null;
}

/** Return each profile's clicks by day. @param {any[]} all @returns {Promise<Map<string, any>>} */
async function counted(all) {
  const counts = new Map();
  for (let i = 0; i < all.length; i += AT_ONCE) {
    const ids = all.slice(i, i + AT_ONCE).map(profile => profile.id).join(',');
    const answer = await get(`/v1/stats?profiles=${ids}&period=30d&interval=day&metrics=clicks`);
    for (const each of answer.profiles) counts.set(each.profile, each);
  }
  return counts;
}

/** @param {any} profile @param {any} counts */
function tile(profile, counts) {
  const clicks = counts?.totals.clicks;
  const days = (counts?.rows ?? []).map((/** @type {any} */ row) => row.clicks);
  return h('li', {class: 'card'}, h('a', {href: `/p/${encodeURIComponent(profile.handle)}`},
    h('span', {class: 'who'}, face(nameOf(profile)), h('span', {}, h('b', {}, typed(nameOf(profile))), h('small', {}, typed(`@${profile.handle}`)))),
    spark(days, counts ? `${plural(clicks, 'click')} in 30 days` : 'Being counted'),
    h('span', {class: 'sum'}, h('strong', {}, counts ? number(clicks) : '…'), ' clicks in 30 days')));
}

function create() {
  const box = dialog('New profile', form([
    field('Handle', h('input', {name: 'handle', required: true, autofocus: true, autocapitalize: 'none', autocomplete: 'off', spellcheck: 'false', maxlength: 64}), {help: 'Part of its address: letters, digits, - and _'}),
    field('Title', h('input', {name: 'title', autocomplete: 'off', dir: 'auto', maxlength: 120}), {help: 'As its visitors see it'}),
  ], {action: 'Create', send: async values => {
    const profile = await change('POST', '/v1/profiles', values, {key: crypto.randomUUID?.()});
    box.close();
    await go(`/p/${encodeURIComponent(profile.handle)}`);
  }}));
}
