// Sign in.

import {h} from '../dom.js';
import {change, signedIn} from '../api.js';
import {field, form, password} from '../form.js';
import {gate} from '../gate.js';
import {go, safePath} from '../url.js';

/** @param {HTMLElement} root @param {import('../url.js').State} state */
export function show(root, state) {
  const email = h('input', {type: 'email', name: 'email', autocomplete: 'username', required: true, autocapitalize: 'none', spellcheck: 'false'});
  const secret = password({name: 'password', autocomplete: 'current-password', required: true});
  const asked = form([field('E-mail', email), field('Password', secret)], {
    action: 'Sign in', wide: true,
    sayProblem: problem => (problem.status === 401 ? {title: 'E-mail and password do not belong together.', detail: ''} : null),
    async send(values) {
      try {
        signedIn(await change('POST', '/v1/session', values, {open: true}));
      } catch (problem) {
        const input = secret.querySelector('input');
        if (/** @type {any} */ (problem).status === 401) {
          for (const each of [email, input]) each.setAttribute('aria-invalid', 'true');
          input.value = '';
          input.focus();
        }
        throw problem;
      }
      await go(safePath(state.query.get('next')), {replace: true});
    },
  });
  root.replaceChildren(gate('Sign in', `to ${location.host}`, asked,
    h('p', {class: 'note'}, h('a', {class: 'link', href: '/reset'}, 'Forgotten your password?'))));
  email.focus();
}
