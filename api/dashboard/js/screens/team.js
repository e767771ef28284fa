// The team of a profile: its members and their roles, what each role may do, and invitations that are open.

import {h, icon, typed} from '../dom.js';
import {all, change} from '../api.js';
import {card, empty, loaded, skeleton, top} from '../card.js';
import {ago} from '../clock.js';
import {button, tag} from '../controls.js';
import {confirm, dialog, secretOnce} from '../dialog.js';
import {field, form} from '../form.js';
import {dateTime, plural, words} from '../format.js';
import {face} from '../shell.js';
import {tellProblem, toast, undoable} from '../toast.js';
import {again, go} from '../url.js';

const ROLES = ['owner', 'admin', 'editor', 'viewer'], MOST = 10;
// What may be done, and how many roles, from the owner downwards, may do it.
const RIGHTS = /** @type {[string, number][]} */ ([
  ['See the profile, its links, statistics and members', 4], ['Change links, the page and the profile', 3], ['Read the activity', 3],
  ['Invite, change and remove members', 2], ['Webhooks, domains, shares and left addresses', 2], ['Export, hand over or delete the profile', 1],
]);

/** @param {HTMLElement} root @param {import('../url.js').State} state */
export function show(root, state) {
  const admin = ['owner', 'admin'].includes(state.role), members = h('div', {}, skeleton('w8', 'w7')), open = h('div', {}, skeleton('w7')), count = h('span', {});
  const path = `/v1/profiles/${state.profile.id}`;
  const invitations = loaded(open, {ask: () => all(`${path}/invitations`), draw: items => (items.length ? h('ul', {class: 'team'}, items.map((/** @type {any} */ each) => invitation(state, each))) : empty('Nobody is invited who has not joined.'))});
  root.append(top('Team', admin && button('Invite', {icon: 'user-plus', class: 'main', 'aria-haspopup': 'dialog', onclick: () => invite(state, invitations.load)})),
    h('div', {class: 'grid'}, h('div', {class: 'c7 stackcol'}, card('Members', {right: count}, members), admin && card('Invitations', {}, open)), card('What each role may do', {class: 'c5 full'}, rights(state.role))));
  loaded(members, {ask: () => all(`${path}/members`), draw: items => {
    count.textContent = `${items.length} of ${MOST}`;
    return h('ul', {class: 'team'}, items.map((/** @type {any} */ each) => member(state, each)));
  }}).load();
  if (admin) invitations.load();
}

/** @param {import('../url.js').State} state @param {any} person */
function member(state, person) {
  const {me, role} = state, self = person.user_id === me.user.id, name = person.name || person.email;
  // Owners alone make an owner, or change one.
  const may = role === 'owner' || (role === 'admin' && person.role !== 'owner');
  const choice = may ? h('select', {'aria-label': `Role of ${name}`, onchange: (/** @type {any} */ event) => changeRole(state, person, event.target)}, ROLES.filter(each => role === 'owner' || each !== 'owner').map(each => h('option', {value: each, selected: each === person.role}, words(each)))) : tag('', words(person.role));
  const row = h('li', {}, face(name), h('div', {class: 'who'}, h('b', {}, typed(name), self && ' (you)'), h('small', {}, person.name && [typed(person.email), ' · '], 'joined ', ago(person.created_at, dateTime(person.created_at)))), choice,
    self ? button('Leave', {class: 'small', onclick: () => leaveTeam(state)}) : may ? button('Remove', {class: 'small', 'aria-label': `Remove ${name}`, onclick: () => remove(state, person, row)}) : h('span', {}));
  return row;
}

/** @param {import('../url.js').State} state @param {any} person @param {any} choice */
async function changeRole(state, person, choice) {
  const role = choice.value, self = person.user_id === state.me.user.id, name = person.name || person.email;
  const sure = !self || await confirm('Change your own role?', `You become ${role} of @${state.profile.handle}. Another owner or admin can change it back.`, 'Change it');
  try {
    if (!sure) throw null;
    const changed = await change('PATCH', memberPath(state, person), {role}, {version: person.version});
    Object.assign(person, changed);
    toast(`${name} is ${role}`);
    if (!self) return;
    await again();
  } catch (problem) {
    choice.value = person.role;
    if (problem) tellProblem(problem);
    if (/** @type {any} */ (problem)?.status === 412) await again();
  }
}

/** @param {import('../url.js').State} state @param {any} person @param {HTMLElement} row */
function remove(state, person, row) {
  row.hidden = true;
  undoable(`${person.name || person.email} is removed`, keepalive => change('DELETE', memberPath(state, person), undefined, {keepalive}).then(() => row.remove()), () => { row.hidden = false; });
}

/** @param {import('../url.js').State} state */
async function leaveTeam(state) {
  if (!await confirm('Leave this team?', `You no longer see @${state.profile.handle}. Somebody must invite you to come back.`, 'Leave')) return;
  try {
    await change('DELETE', `/v1/profiles/${state.profile.id}/members/${state.me.user.id}`);
    await go('/profiles');
  } catch (problem) {
    tellProblem(problem);
  }
}

/** @param {import('../url.js').State} state @param {any} person */
const memberPath = (state, person) => `/v1/profiles/${state.profile.id}/members/${person.user_id}`;

/** @param {import('../url.js').State} state @param {any} item */
function invitation(state, item) {
  const row = h('li', {}, face(item.email), h('div', {class: 'who'}, h('b', {}, typed(item.email)), h('small', {}, 'invited ', ago(item.created_at, dateTime(item.created_at)), ', ends ', ago(item.expires_at, dateTime(item.expires_at)))), tag('', words(item.role)),
    button('Withdraw', {class: 'small', 'aria-label': `Withdraw the invitation of ${item.email}`, onclick() {
      row.hidden = true;
      undoable('The invitation is withdrawn', keepalive => change('DELETE', `/v1/profiles/${state.profile.id}/invitations/${item.id}`, undefined, {keepalive}).then(() => row.remove()), () => { row.hidden = false; });
    }}));
  return row;
}

/** @param {import('../url.js').State} state @param {() => void} changed */
function invite(state, changed) {
  const key = crypto.randomUUID?.();
  const box = dialog('Invite', form([
    field('E-mail', h('input', {name: 'email', type: 'email', required: true, autofocus: true, autocomplete: 'off', maxlength: 254}), {help: 'Whom it is for. Nothing is mailed: you send the address yourself.'}),
    field('Role', h('select', {name: 'role'}, ROLES.filter(role => state.role === 'owner' || role !== 'owner').map(role => h('option', {value: role, selected: role === 'editor'}, words(role))))),
    field('Days until it ends', h('input', {name: 'expires_in_days', type: 'number', min: 1, max: 90, value: 7, required: true})),
  ], {action: 'Make the invitation', async send(values) {
    const made = await change('POST', `/v1/profiles/${state.profile.id}/invitations`, values, {key});
    box.close();
    changed();
    await secretOnce('Send this address', made.url, `Whoever has it can join once as ${made.role}, within ${plural(values.expires_in_days, 'day')}. It is shown only now.`);
  }}));
}

/** @param {string} own the reader's role */
function rights(own) {
  const cell = (/** @type {number} */ most, /** @type {number} */ at) => h('td', {class: ROLES[at] === own ? 'own' : null}, at < most ? [icon('check'), h('span', {class: 'vh'}, 'yes')] : h('span', {}, '–', h('span', {class: 'vh'}, ' no')));
  return [h('div', {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Table of roles'}, h('table', {class: 'roles'}, h('caption', {class: 'vh'}, 'What each role may do'),
    h('thead', {}, h('tr', {}, h('td', {}), ROLES.map(role => h('th', {scope: 'col', class: role === own ? 'own' : null}, words(role))))),
    h('tbody', {}, RIGHTS.map(([text, most]) => h('tr', {}, h('th', {scope: 'row'}, text), ROLES.map((_, at) => cell(most, at))))))), h('p', {class: 'note body'}, `You are ${own === 'viewer' ? 'a' : 'an'} ${own}. Only owners make somebody an owner; a profile always has one.`)];
}
