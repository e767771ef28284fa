// Signing in again over the screen when the session has ended, so that nothing typed is lost.

import {h} from './dom.js';
import {change, signedIn} from './api.js';
import {dialog} from './dialog.js';
import {field, form, password} from './form.js';

/** @type {Promise<boolean> | null} */
let asking = null;

/** Ask for the password. Resolves to whether the reader has signed in. @param {string} email */
export function signInAgain(email) {
  asking ??= asked(email).finally(() => { asking = null; });
  return asking;
}

/** @param {string} email @returns {Promise<boolean>} */
function asked(email) {
  return new Promise(resolve => {
    let done = false;
    const box = dialog('Your session has ended', [
      h('p', {class: 'note'}, 'Sign in to go on. What you typed is kept.'),
      form([
        field('E-mail', h('input', {type: 'email', name: 'email', autocomplete: 'username', required: true, value: email})),
        field('Password', password({name: 'password', autocomplete: 'current-password', required: true, autofocus: true})),
      ], {action: 'Sign in', send: async values => {
        signedIn(await change('POST', '/v1/session', values, {open: true}));
        done = true;
        box.close();
      }}),
    ], {closed: () => resolve(done)});
  });
}
