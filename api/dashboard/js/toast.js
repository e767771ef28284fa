// What is told: a line for screen readers, and a notice at the edge with one action, often Undo.

import {h} from './dom.js';

const SHOWN_MS = 8000;

/** Tell screen readers something, politely. @param {string} text */
export function say(text) {
  const region = document.getElementById('say');
  if (region) region.textContent = text;
}

/** @returns {HTMLElement} */
const stack = () => {
  const place = document.getElementById('toasts') ?? h('div', {id: 'toasts', role: 'status', 'aria-live': 'polite'});
  // Above an open dialog, which is in the top layer.
  const above = [...document.querySelectorAll('dialog[open]')].at(-1) ?? document.body;
  if (place.parentElement !== above) above.append(place);
  return place;
};

/**
 * Show a notice for eight seconds; the pointer or the focus on it holds the time.
 * @param {string} text @param {{action?: string, act?: () => any, bad?: boolean, ended?: () => any}} [options]
 *   `ended` is called once it is gone and nobody acted
 * @returns {() => void} takes it away
 */
export function toast(text, {action, act, bad, ended} = {}) {
  let timer = 0, over = false;
  const close = (/** @type {boolean} */ acted = false) => {
    if (over) return;
    over = true;
    clearTimeout(timer);
    notice.remove();
    if (!acted) ended?.();
  };
  const run = () => { clearTimeout(timer); timer = setTimeout(close, SHOWN_MS, false); };
  const notice = h('div', {class: `toast${bad ? ' bad' : ''}`, onpointerenter: () => clearTimeout(timer), onpointerleave: run, onfocusin: () => clearTimeout(timer), onfocusout: run},
    h('span', {}, text),
    action && h('button', {type: 'button', class: 'link', onclick: () => { close(true); act?.(); }}, action),
    h('button', {type: 'button', class: 'btn sq', 'aria-label': 'Close', onclick: () => close()}, '×'));
  stack().append(notice);
  run();
  return () => close();
}

/** Show what went wrong. @param {any} problem */
export const tellProblem = problem => toast(problem.title ? `${problem.title}. ${problem.errors?.[0]?.reason ?? problem.detail}` : String(problem.message), {bad: true});

/**
 * Do later what cannot be taken back: after eight seconds without Undo, or when the page is left.
 * @param {string} text @param {(keepalive: boolean) => Promise<any>} act @param {() => void} undo puts back what is shown
 */
export function undoable(text, act, undo) {
  let over = false;
  const run = (/** @type {boolean} */ keepalive) => {
    if (over) return;
    over = true;
    removeEventListener('pagehide', leaving);
    act(keepalive).catch(problem => { undo(); tellProblem(problem); });
  };
  const leaving = () => run(true);
  addEventListener('pagehide', leaving);
  toast(text, {action: 'Undo', act() { over = true; removeEventListener('pagehide', leaving); undo(); }, ended: () => run(false)});
}

/** Copy a text and say so. @param {string} text @param {string} [what] */
export async function copy(text, what = 'Copied') {
  try {
    await navigator.clipboard.writeText(text);
    toast(what);
  } catch {
    toast(`Your browser did not let us copy it: ${text}`, {bad: true});
  }
}
