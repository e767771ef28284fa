// The reader's own account: name, password, sessions, and how the dashboard looks and listens.

import {h, fill, typed} from '../dom.js';
import {all, change, get} from '../api.js';
import {button, segments, tag} from '../controls.js';
import {card, problemView, skeleton, top} from '../card.js';
import {ago} from '../clock.js';
import {field, form, password} from '../form.js';
import {dateTime} from '../format.js';
import {singleKeys} from '../keys.js';
import {chooseTheme, theme} from '../theme.js';
import {toast, undoable} from '../toast.js';
import {again} from '../url.js';

/** @param {HTMLElement} root @param {import('../url.js').State} state */
export async function show(root, state) {
  const user = await get('/v1/user'), sessions = h('div', {}, skeleton('w9', 'w8'));
  root.append(top('Account'), h('div', {class: 'settings'},
    card('You', {}, h('div', {class: 'body'}, form([
      field('E-mail', h('input', {type: 'email', value: user.email, readonly: true, disabled: true, name: 'email'})),
      field('Name', h('input', {name: 'name', value: user.name, dir: 'auto', autocomplete: 'name', maxlength: 100}), {help: 'as other members see it'}),
    ], {action: 'Save', async send({name}) {
      await change('PATCH', '/v1/user', {name}, {version: user.version});
      toast('Saved');
      await again();
    }}))),
    card('Password', {}, h('div', {class: 'body'}, passwordForm(user.email))),
    card('Look', {}, h('div', {class: 'body rowset'}, look())),
    card('Sessions', {sub: h('span', {class: 'note'}, 'Browsers in which you are signed in')}, sessions)));
  await listSessions(sessions, state.me);
}

/** @param {string} email for password managers */
function passwordForm(email) {
  const element = form([
    h('input', {type: 'text', autocomplete: 'username', value: email, hidden: true, readonly: true}),
    field('Current password', password({name: 'current', autocomplete: 'current-password', required: true})),
    field('New password', password({name: 'new', autocomplete: 'new-password', minlength: 10, required: true}), {help: 'At least 10 characters. Every other session ends; API keys still work.'}),
  ], {action: 'Change it', sayProblem: problem => (problem.status === 401 ? {title: 'The current password is wrong.', detail: ''} : null), async send(values) {
    await change('POST', '/v1/user/password', values, {open: true});
    element.reset();
    toast('The password is changed');
    await again();
  }});
  return element;
}

function look() {
  return [
    h('div', {class: 'setrow'}, h('b', {}, 'Theme'), segments('Theme', [['system', 'As the system'], ['light', 'Light'], ['dark', 'Dark']], theme(), chooseTheme)),
    h('div', {class: 'setrow'}, h('div', {}, h('b', {}, 'Single keys'), h('p', {class: 'note'}, 'Press ? to see them.')), h('label', {class: 'rowb'}, h('input', {type: 'checkbox', role: 'switch', checked: singleKeys(), onchange: (/** @type {any} */ event) => localStorage.setItem('keys', event.target.checked ? 'on' : 'off')}), 'on')),
  ];
}

/** @param {HTMLElement} place @param {any} me */
async function listSessions(place, me) {
  try {
    const sessions = await all('/v1/sessions');
    fill(place, h('ul', {class: 'rows'}, sessions.reverse().map(session => sessionRow(session, session.id === me.session_id))));
  } catch (problem) {
    fill(place, problemView(problem, () => listSessions(place, me)));
  }
}

/** @param {any} session @param {boolean} current */
function sessionRow(session, current) {
  const row = h('li', {class: 'setrow'}, h('div', {}, h('b', {}, typed(browserOf(session.user_agent))), h('p', {class: 'note'}, 'used ', ago(session.last_used_at, dateTime(session.last_used_at)), `, ends on ${dateTime(session.expires_at)}`)),
    current ? tag('ok', 'this one') : button('End', {class: 'small', onclick() {
      row.hidden = true;
      undoable('The session ends', keepalive => change('DELETE', `/v1/sessions/${session.id}`, undefined, {keepalive}).then(() => row.remove()), () => { row.hidden = false; });
    }}));
  return row;
}

/** "Chrome on Android" of a user agent, or its first words. @param {string} text */
function browserOf(text) {
  const browser = /(Edg|OPR|SamsungBrowser|Firefox|Chrome|Safari)\//.exec(text)?.[1], system = /(Android|iPhone|iPad|Windows|Mac OS X|Linux|CrOS)/.exec(text)?.[1];
  const names = /** @type {Record<string, string>} */ ({Edg: 'Edge', OPR: 'Opera', SamsungBrowser: 'Samsung Internet', 'Mac OS X': 'macOS', CrOS: 'ChromeOS'});
  if (!browser) return text.slice(0, 60) || 'A program';
  return system ? `${names[browser] ?? browser} on ${names[system] ?? system}` : names[browser] ?? browser;
}
