// The server's clock, as its answers tell it: the reader's may be wrong by a day.

import {relative} from './format.js';
import {h} from './dom.js';

let skewMs = 0;

/** Note the `Date` of an answer. @param {string | null} date */
export function note(date) {
  const told = Date.parse(date ?? '');
  // A header has whole seconds, so less than two say nothing.
  if (!Number.isNaN(told)) skewMs = Math.abs(told - Date.now()) < 2000 ? 0 : told - Date.now();
}

/** Return the time by the server's clock, in ms. */
export const now = () => Date.now() + skewMs;

/**
 * Return a <time> that says how long ago, and keeps saying it right.
 * @param {string} time @param {string} title the whole date, shown on hover
 */
export const ago = (time, title = '') => h('time', {datetime: time, title: title || null, 'data-ago': ''}, relative(time, now()));

setInterval(() => {
  if (document.hidden) return;
  for (const element of document.querySelectorAll('time[data-ago]')) {
    const text = relative(element.getAttribute('datetime'), now());
    if (element.textContent !== text) element.textContent = text;
  }
}, 10_000);
