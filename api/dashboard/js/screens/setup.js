// The first account of a new server, then its first profile and link. The code is in the output of the start.

import {h, fill} from '../dom.js';
import {change, get, signedIn} from '../api.js';
import {profiles} from '../account.js';
import {field, form, password} from '../form.js';
import {number, plural} from '../format.js';
import {gate} from '../gate.js';
import {go} from '../url.js';

const STEPS = ['You', 'Your page', 'A first link'];

/** @param {HTMLElement} root */
export async function show(root) {
  const code = location.hash.slice(1);
  if (location.hash) history.replaceState(null, '', location.pathname);
  const {needed} = await get('/v1/setup', {open: true});
  if (!needed && !code) return fill(root, gate('This server is set up', 'Its first account is there.', h('p', {}, h('a', {class: 'btn main', href: '/login'}, 'Sign in'))));
  fill(root, account(root, code));
}

/** @param {number} at */
const steps = at => h('ol', {class: 'stepper', 'aria-label': 'Three steps'}, STEPS.map((text, i) => h('li', {'aria-current': i === at ? 'step' : null}, h('i', {'aria-hidden': 'true'}, i + 1), text)));

/** Show the next step, with the focus at its heading. @param {HTMLElement} root @param {any} page */
function step(root, page) {
  fill(root, page);
  const first = root.querySelector('input');
  if (first) first.focus();
}

/** @param {HTMLElement} root @param {string} code */
function account(root, code) {
  const secret = password({name: 'password', autocomplete: 'new-password', minlength: 10, required: true}), input = secret.querySelector('input');
  const meter = h('progress', {class: 'go', max: 20, value: 0, 'aria-label': 'Length of the password'}), words = h('small', {}, 'At least 10 characters; longer is better');
  input.addEventListener('input', () => {
    meter.value = Math.min(20, input.value.length);
    words.textContent = input.value.length < 10 ? `${plural(10 - input.value.length, 'character')} more` : `${number(input.value.length)} characters`;
  });
  return gate('This server is new', 'Its first account owns it. The code stands in the terminal, below “ready”.', steps(0), form([
    field('Code', h('input', {name: 'code', value: code, required: true, autocomplete: 'one-time-code', autocapitalize: 'none', spellcheck: 'false', class: 'mono'}), {help: 'good once, for an hour'}),
    field('Name', h('input', {name: 'name', autocomplete: 'name', dir: 'auto', maxlength: 100})),
    field('E-mail', h('input', {type: 'email', name: 'email', autocomplete: 'username', required: true})),
    field('Password', h('span', {}, secret, h('span', {class: 'meter'}, meter, words))),
  ], {
    action: 'Make the account', wide: true,
    sayProblem: problem => (problem.status === 404 ? {title: 'This code is not the one, or it was used.', detail: 'Start the server again for another one.'} : null),
    async send(values) {
      signedIn(await change('POST', '/v1/setup', values, {open: true}));
      const [first] = await profiles();
      if (first) step(root, link(root, first));
      else step(root, page(root));
    },
  }), h('p', {class: 'note'}, 'Nothing is published before you say so.'));
}

/** @param {HTMLElement} root */
function page(root) {
  return gate('Your page', 'It has an address of its own, and counts of its own.', steps(1), form([
    field('Handle', h('input', {name: 'handle', required: true, autocapitalize: 'none', autocomplete: 'off', spellcheck: 'false', maxlength: 64}), {help: 'part of its address: letters, digits, - and _'}),
    field('Title', h('input', {name: 'title', autocomplete: 'off', dir: 'auto', maxlength: 120}), {help: 'as visitors see it'}),
  ], {action: 'Make the page', wide: true, foot: h('a', {class: 'link', href: '/profiles'}, 'Later'), async send(values) {
    step(root, link(root, await change('POST', '/v1/profiles', values)));
  }}));
}

/** @param {HTMLElement} root @param {any} profile */
function link(root, profile) {
  const place = `/p/${encodeURIComponent(profile.handle)}`;
  return gate('A first link', 'Where should it lead?', steps(2), form([
    field('Target', h('input', {type: 'url', name: 'target', required: true, placeholder: 'https://', inputmode: 'url'})),
    field('Title', h('input', {name: 'title', autocomplete: 'off', dir: 'auto', maxlength: 120})),
  ], {action: 'Make the link', wide: true, foot: h('a', {class: 'link', href: place}, 'Later'), async send(values) {
    await change('POST', `/v1/profiles/${profile.id}/links`, values);
    await go(place);
  }}));
}
