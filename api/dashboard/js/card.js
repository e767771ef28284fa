// Cards and their states: loading, empty, stale, a problem. A card keeps its height from one to the next.

import {h, icon, fill, newId, whenFree} from './dom.js';
import {button} from './controls.js';
import {copy} from './toast.js';

/**
 * A card with its title. `body` is where its content goes: see states().
 * @param {string} title @param {{class?: string, right?: any, sub?: any}} options @param {...any} children
 */
export function card(title, {class: more = '', right, sub}, ...children) {
  const id = newId('card');
  return h('section', {class: `card ${more}`, 'aria-labelledby': id},
    h('header', {}, h('h2', {id}, title), sub, right && h('span', {class: 'r'}, right)), children);
}

/** Grey bars of the final height. @param {...string} widths classes w4 to w9, or big */
export const skeleton = (...widths) => h('div', {class: 'body sks', 'aria-hidden': 'true'}, widths.map(width => h('i', {class: `sk ${width}`})));

/** One sentence and one action. @param {any} text @param {any} [action] */
export const empty = (text, action) => h('div', {class: 'prob'}, h('div', {}, h('p', {}, text), action && h('div', {class: 'rowb'}, action)));

/**
 * What the server said instead, with its request's id and a way to try again.
 * @param {any} problem @param {() => void} [again] @param {any[]} [offers]
 */
export function problemView(problem, again, offers = []) {
  const quiet = problem.status === 403;
  return h('div', {class: `prob ${quiet ? '' : 'bad'}`, role: quiet ? 'status' : 'alert'}, icon('triangle-alert'), h('div', {},
    h('b', {}, problem.title ?? 'Something went wrong'),
    h('p', {}, sentence(problem.detail || problem.message)),
    problem.errors?.length ? h('ul', {}, problem.errors.map((/** @type {any} */ error) => h('li', {}, `${error.field}: ${error.reason}`))) : null,
    h('div', {class: 'rowb'}, again && retry(problem, again), offers, problem.requestId && !quiet && button('Copy id', {icon: 'copy', class: 'small', title: problem.requestId, onclick: () => copy(problem.requestId, 'Request id copied')}))));
}

/** @param {string} text */
const sentence = text => (text ? text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? '' : '.') : '');

/** @param {any} problem @param {() => void} again */
function retry(problem, again) {
  const act = button('Try again', {icon: 'rotate-cw', class: 'small', onclick: again});
  let left = Math.ceil(problem.retryAfterS || 0);
  if (!left) return act;
  const label = /** @type {Text} */ (act.lastChild);
  const timer = setInterval(() => {
    if (!act.isConnected && left < (problem.retryAfterS || 0) - 1) return clearInterval(timer);
    if (--left > 0) { label.data = `Try again (${left})`; return; }
    clearInterval(timer);
    if (act.isConnected) again();
  }, 1000);
  label.data = `Try again (${left})`;
  return act;
}

/**
 * A part of a screen that is loaded. `ask` returns its data, `draw(data)` its children. Shows the skeleton after 150 ms
 * only; with data on screen a problem leaves them there, marked stale.
 * @param {HTMLElement} place @param {{ask: () => Promise<any>, draw: (data: any) => any, skeleton?: any}} options
 * @returns {{load: () => Promise<void>}}
 */
export function loaded(place, {ask, draw, skeleton: bones}) {
  let round = 0, drawn = false;
  /** @type {any} */
  let last;
  async function load() {
    const mine = ++round;
    const slow = setTimeout(() => { if (!drawn && bones) fill(place, bones); }, 150);
    try {
      const data = await ask();
      if (mine !== round) return;
      place.classList.remove('stale');
      if (data !== last || !drawn) whenFree(() => fill(place, draw(data)));
      last = data;
      drawn = true;
    } catch (error) {
      if (mine !== round || /** @type {any} */ (error).name === 'AbortError') return;
      if (!('status' in /** @type {any} */ (error))) throw error;
      if (drawn) place.classList.add('stale');
      else fill(place, problemView(error, load));
    } finally {
      clearTimeout(slow);
    }
  }
  return {load};
}

/** The badge of a top bar: how fresh the figures are. @param {string} text @param {'' | 'warn' | 'bad'} [kind] */
export const asOf = (text, kind = '') => h('span', {class: `asof ${kind}`}, h('i', {class: 'dot', 'aria-hidden': 'true'}), h('span', {}, text));

/**
 * The top of a screen: its title, then what is beside it (badge, period, main action).
 * @param {string} title @param {...any} rest
 */
export const top = (title, ...rest) => h('div', {class: 'top'}, h('h1', {}, title), h('span', {class: 'gap'}), rest);
