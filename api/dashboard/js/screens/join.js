// Joining a profile's team by an invitation. Its token is in the fragment, which no server sees, and leaves the bar at once.

import {h, fill, icon, typed} from '../dom.js';
import {change, session, signedIn} from '../api.js';
import {field, form, password} from '../form.js';
import {dateTime} from '../format.js';
import {gate} from '../gate.js';
import {face} from '../shell.js';
import {go} from '../url.js';

const KEPT = 'joining'; // over a sign-in
const MAY = /** @type {Record<string, [boolean, string][]>} */ ({
  owner: [[true, 'everything, also hand over or delete the profile']],
  admin: [[true, 'change the page, its links, webhooks and members'], [true, 'see all statistics and who changed what'], [false, 'not: export all data or delete the profile']],
  editor: [[true, 'change the page and its links'], [true, 'see all statistics and who changed what'], [false, 'not: webhooks, members, export']],
  viewer: [[true, 'see the page, its links and all statistics'], [false, 'not: change anything']],
});

/** @param {HTMLElement} root */
export async function show(root) {
  const token = location.hash.slice(1) || sessionStorage.getItem(KEPT) || '';
  if (token) sessionStorage.setItem(KEPT, token);
  if (location.hash) history.replaceState(null, '', location.pathname);
  if (!token) return fill(root, gate('This is no invitation', 'The address of an invitation ends in a long code. Open it as it was sent to you.', h('p', {}, h('a', {class: 'btn', href: '/'}, 'Go to the dashboard'))));
  try {
    const invited = await change('POST', '/v1/invitations/preview', {token}, {open: true});
    const me = await session().catch(() => null);
    fill(root, offer(invited, token, me));
  } catch (problem) {
    sessionStorage.removeItem(KEPT);
    fill(root, refused(/** @type {any} */ (problem)));
  }
}

/** @param {any} problem */
function refused(problem) {
  const words = /** @type {Record<number, [string, string]>} */ ({404: ['This invitation is not known', 'It may have been withdrawn. Ask the person who invited you for another one.'], 409: ['This invitation cannot be used', problem.detail]})[problem.status] ?? [problem.title, problem.detail];
  return gate(words[0], words[1], h('p', {}, h('a', {class: 'btn', href: '/'}, 'Go to the dashboard')));
}

/** @param {any} invited @param {string} token @param {any} me */
function offer(invited, token, me) {
  const name = invited.title || invited.handle, key = crypto.randomUUID?.();
  const joined = async (/** @type {any} */ answer) => {
    sessionStorage.removeItem(KEPT);
    if (answer.user) signedIn(answer);
    await go(`/p/${encodeURIComponent(invited.handle)}`);
  };
  const send = async (/** @type {any} */ values) => joined(await change('POST', '/v1/invitations/accept', {token, ...values}, {key, open: !me}));
  return gate(h('span', {}, typed(invited.inviter || 'The team'), ` invites you as ${invited.role}`), null,
    h('div', {class: 'invite'}, face(name), h('div', {}, h('b', {}, typed(name)), h('small', {}, typed(`@${invited.handle}`)))),
    h('ul', {class: 'checks'}, (MAY[invited.role] ?? []).map(([may, text]) => h('li', {class: may ? null : 'no'}, may ? icon('check') : icon('minus'), text))),
    me ? form([], {action: `Join as ${me.user.email}`, wide: true, send: () => send({})}) : form([
      field('E-mail', h('input', {type: 'email', name: 'email', value: invited.email, readonly: true, disabled: true, autocomplete: 'username'}), {help: 'the one that was invited'}),
      field('Name', h('input', {name: 'name', autocomplete: 'name', dir: 'auto', maxlength: 100}), {help: 'as others see it'}),
      field('Choose a password', password({name: 'password', autocomplete: 'new-password', minlength: 10, required: true}), {help: 'at least 10 characters'}),
    ], {action: 'Join', wide: true, send}),
    h('p', {class: 'note'}, me ? '' : ['You have an account? ', h('a', {class: 'link', href: '/login?next=/join'}, 'Sign in and join'), '. '], `The invitation ends on ${dateTime(invited.expires_at)}.`));
}
