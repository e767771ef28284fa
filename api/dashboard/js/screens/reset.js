// A forgotten password: asking for a mail, and the page that the mail leads to.

import {h, fill} from '../dom.js';
import {change, get} from '../api.js';
import {field, form, password} from '../form.js';
import {gate} from '../gate.js';
import {go} from '../url.js';
import {toast} from '../toast.js';

/** @param {HTMLElement} root */
export async function show(root) {
  const token = location.hash.slice(1);
  if (location.hash) history.replaceState(null, '', location.pathname);
  if (token) return fill(root, chosen(token));
  const {mail} = await get('/v1/setup', {open: true});
  fill(root, mail ? asked() : gate('Forgotten password', 'This server sends no mail. Whoever runs it makes a page for you, on which you choose another password:', h('p', {}, h('code', {}, 'waypost reset-password YOUR-ADDRESS')), back()));
}

const back = () => h('p', {class: 'note'}, h('a', {class: 'link', href: '/login'}, 'Back to sign in'));

function asked() {
  const place = h('div');
  place.append(form([field('E-mail', h('input', {type: 'email', name: 'email', autocomplete: 'username', required: true}))], {
    action: 'Send me a mail', wide: true,
    async send({email}) {
      await change('POST', '/v1/password-resets', {email}, {open: true});
      fill(place, h('p', {role: 'status'}, 'If ', h('b', {}, email), ' has an account here, a mail is on its way. What it leads to works once, for an hour.'));
    },
  }));
  return gate('Forgotten password', 'A mail leads to a page where you choose another one.', place, back());
}

/** @param {string} token */
function chosen(token) {
  return gate('Choose a password', 'Every session of yours ends. API keys still work.', form([
    field('New password', password({name: 'password', autocomplete: 'new-password', minlength: 10, required: true, autofocus: true}), {help: 'at least 10 characters; a sentence is best'}),
  ], {
    action: 'Set it', wide: true,
    sayProblem: problem => (problem.status === 404 ? {title: 'This mail was used, or is older than an hour.', detail: 'Ask for another one.'} : null),
    async send(values) {
      await change('POST', '/v1/password-resets/use', {token, ...values}, {open: true});
      toast('The password is set. Sign in with it.');
      await go('/login', {replace: true});
    },
  }), back());
}
