// Dialogs are native: the focus stays inside, Esc closes, the focus goes back to what opened it.

import {h, newId} from './dom.js';
import {button} from './controls.js';
import {copy} from './toast.js';

/** @param {HTMLDialogElement} dialog @param {(() => void) | undefined} closed */
function open(dialog, closed) {
  const opener = /** @type {HTMLElement | null} */ (document.activeElement);
  dialog.addEventListener('close', () => {
    // A notice shown within it lives on.
    const toasts = dialog.querySelector('#toasts');
    if (toasts) document.body.append(toasts);
    dialog.remove();
    if (opener?.isConnected) opener.focus({preventScroll: true});
    closed?.();
  });
  dialog.addEventListener('pointerdown', event => { if (event.target === dialog) dialog.close(); });
  document.body.append(dialog);
  dialog.showModal();
  /** @type {HTMLElement | null} */ (dialog.querySelector('[autofocus]') ?? dialog.querySelector('h2'))?.focus();
  return dialog;
}

/**
 * Show a drawer at the right; full screen on a phone. Its URL is the caller's: go back in `closed`.
 * @param {string} title @param {any} body @param {{sub?: any, foot?: any, closed?: () => void}} [options]
 * @returns {HTMLDialogElement}
 */
export function drawer(title, body, {sub, foot, closed} = {}) {
  const id = newId('drawer');
  const dialog = h('dialog', {class: 'drawer', 'aria-labelledby': id},
    h('header', {}, h('div', {}, h('h2', {id, tabindex: -1, dir: 'auto'}, title), sub && h('p', {}, sub)),
      button('', {icon: 'x', class: 'sq', 'aria-label': 'Close', onclick: () => dialog.close()})),
    h('div', {class: 'in', tabindex: 0, role: 'group', 'aria-label': title}, body),
    foot && h('footer', {}, foot));
  return open(dialog, closed);
}

/**
 * Show a small dialog in the middle.
 * @param {string} title @param {any} body @param {{foot?: any, closed?: () => void, class?: string}} [options]
 * @returns {HTMLDialogElement}
 */
export function dialog(title, body, {foot, closed, class: more = ''} = {}) {
  const id = newId('dialog');
  const element = h('dialog', {class: `box ${more}`, 'aria-labelledby': id},
    h('header', {}, h('h2', {id, tabindex: -1}, title), button('', {icon: 'x', class: 'sq', 'aria-label': 'Close', onclick: () => element.close()})),
    h('div', {class: 'in'}, body),
    foot && h('footer', {}, foot));
  return open(element, closed);
}

/**
 * Ask before something that cannot be taken back. Resolves to whether to do it.
 * @param {string} title @param {string} text @param {string} action the button's words, such as "Delete"
 * @param {{typed?: string, bad?: boolean}} [options] `typed`: what the reader must type first
 * @returns {Promise<boolean>}
 */
export function confirm(title, text, action, {typed: word, bad = true} = {}) {
  return new Promise(resolve => {
    let agreed = false;
    const input = word && h('input', {autofocus: true, autocomplete: 'off', spellcheck: 'false', 'aria-label': `Type ${word}`, oninput: () => { act.disabled = input.value.trim() !== word; }});
    const act = button(action, {class: bad ? 'danger' : 'main', disabled: Boolean(word), type: 'submit'});
    const form = h('form', {class: 'form', method: 'dialog', onsubmit: (/** @type {Event} */ event) => { event.preventDefault(); agreed = true; element.close(); }},
      h('p', {}, text), word && h('p', {}, 'Type ', h('b', {}, word), ' to go on.'), input,
      h('div', {class: 'rowb end'}, button('Cancel', {autofocus: !word, onclick: () => element.close()}), act));
    const element = dialog(title, form, {closed: () => resolve(agreed)});
  });
}

/**
 * Show a secret once; only its own button closes it.
 * @param {string} title @param {string} secret @param {string} help @returns {Promise<void>}
 */
export function secretOnce(title, secret, help) {
  return new Promise(resolve => {
    const element = dialog(title, [h('p', {}, help), h('p', {class: 'url secret', tabindex: 0}, secret)], {
      closed: resolve,
      foot: [button('Copy', {icon: 'copy', class: 'main', onclick: () => copy(secret)}), button('I have kept it', {class: 'r', onclick: () => element.close()})],
    });
    element.addEventListener('cancel', event => event.preventDefault());
  });
}
