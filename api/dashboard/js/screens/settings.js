// A profile's settings: its address and title, how long clicks are kept, its data, and its end.

import {h, fill, typed} from '../dom.js';
import {change, get} from '../api.js';
import {button, linkButton} from '../controls.js';
import {card, top} from '../card.js';
import {confirm} from '../dialog.js';
import {alert, field, form} from '../form.js';
import {toast, tellProblem} from '../toast.js';
import {again, go} from '../url.js';

/** @param {HTMLElement} root @param {import('../url.js').State} state */
export async function show(root, state) {
  const {role} = state, profile = await get(`/v1/profiles/${state.profile.id}`);
  const mayChange = role !== 'viewer', owns = role === 'owner';
  root.append(top('Settings'), h('div', {class: 'settings'},
    card('Profile', {}, h('div', {class: 'body'}, mayChange ? edit(profile) : h('p', {class: 'note'}, 'Owners, admins and editors change these.'))),
    owns ? card('Data', {}, h('div', {class: 'body rowset'},
      row('All data', 'The profile, its links, clicks, statistics, experiments and log, as lines of JSON.', linkButton('Export', {icon: 'download', href: `/v1/profiles/${profile.id}/archive`, download: `${profile.handle}.ndjson`})))) : null,
    owns ? card('The end', {}, h('div', {class: 'body rowset'},
      row('Delete', 'The page and its links answer 404 at once. Counts and the log stay.', button('Delete…', {class: 'danger', onclick: () => remove(profile)})),
      row('Erase', 'Deletes it, and within two minutes everything that is known of it. Export first.', button('Erase…', {class: 'danger', onclick: () => erase(profile)})))) : null,
    owns ? null : h('p', {class: 'note'}, 'Owners export, delete and erase a profile.')));
}

/** @param {string} title @param {string} text @param {any} action */
const row = (title, text, action) => h('div', {class: 'setrow'}, h('div', {}, h('b', {}, title), h('p', {class: 'note'}, text)), action);

/** @param {any} profile */
function edit(profile) {
  let version = profile.version;
  const save = async (/** @type {any} */ values) => {
    const saved = await change('PATCH', `/v1/profiles/${profile.id}`, values, {version});
    toast('Saved');
    if (saved.handle !== profile.handle) await go(`/p/${encodeURIComponent(saved.handle)}/settings`, {replace: true});
    else await again();
  };
  const place = h('div'), inputs = {
    handle: h('input', {name: 'handle', value: profile.handle, required: true, autocapitalize: 'none', autocomplete: 'off', spellcheck: 'false', maxlength: 64}),
    title: h('input', {name: 'title', value: profile.title, dir: 'auto', autocomplete: 'off', maxlength: 120}),
    days: h('input', {name: 'raw_retention_days', type: 'number', min: 1, max: 3650, value: profile.raw_retention_days, required: true}),
  };
  return [place, form([
    field('Handle', inputs.handle, {help: 'Part of every address of this profile: printed codes and shared links stop working when it changes'}),
    field('Title', inputs.title, {max: 120}),
    field('Days that single clicks are kept', inputs.days, {help: 'Counts stay for good; from 1 to 3,650'}),
  ], {action: 'Save', async send(values) {
    fill(place);
    try {
      await save(values);
    } catch (problem) {
      if (/** @type {any} */ (problem).status !== 412) throw problem;
      const theirs = await get(`/v1/profiles/${profile.id}`), changed = Object.keys(values).filter(name => theirs[name] !== profile[name]);
      const keep = async () => { version = theirs.version; fill(place); await save(values).catch(tellProblem); };
      // A change of a link is a new version of its profile, too.
      if (!changed.length) return keep();
      fill(place, collision(theirs, changed, keep));
    }
  }})];
}

/** Say that somebody else has changed it, and what they wrote. @param {any} theirs @param {string[]} changed fields @param {() => void} keep */
function collision(theirs, changed, keep) {
  return h('div', {class: 'collision'}, alert({title: 'Somebody has changed this meanwhile', detail: 'Theirs is:', status: 412}),
    h('dl', {class: 'kv'}, changed.map(name => [h('dt', {}, name.replaceAll('_', ' ')), h('dd', {}, typed(String(theirs[name])))])),
    h('div', {class: 'rowb'}, button('See theirs', {onclick: () => again()}), button('Keep mine', {class: 'main', onclick: keep})));
}

/** @param {any} profile */
async function remove(profile) {
  if (!await confirm('Delete this profile?', `@${profile.handle}, its page and its links are gone for visitors at once.`, 'Delete', {typed: profile.handle})) return;
  await change('DELETE', `/v1/profiles/${profile.id}`).then(() => { toast(`@${profile.handle} is deleted`); return go('/profiles'); }, tellProblem);
}

/** @param {any} profile */
async function erase(profile) {
  if (!await confirm('Erase this profile?', 'Clicks, statistics, experiments, webhooks and the log go, too. Nobody can bring them back.', 'Erase', {typed: profile.handle})) return;
  await change('POST', `/v1/profiles/${profile.id}/erasure`).then(() => { toast(`@${profile.handle} is being erased`); return go('/profiles'); }, tellProblem);
}
