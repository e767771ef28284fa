// Keys: single ones are off while something is typed, and can be switched off (WCAG 2.1.4).

import {withDialogs} from './dom.js';
import {SCREENS, isFor} from './screens.js';
import {go} from './url.js';

const WAIT_MS = 1000; // for the key behind g

/** @type {Map<string, {words: string, act: (event: KeyboardEvent) => void}>} */
const bound = new Map();

/** Whether single keys are on. */
export const singleKeys = () => localStorage.getItem('keys') !== 'off';

/**
 * Let a key do something while a screen is shown. Returns what ends it.
 * @param {string} key as KeyboardEvent has it @param {string} words for the help @param {(event: KeyboardEvent) => void} act
 */
export function onKey(key, words, act) {
  bound.set(key, {words, act});
  return () => { if (bound.get(key)?.act === act) bound.delete(key); };
}

/** Listen. @param {() => import('./url.js').State | null} stateNow */
export function listen(stateNow) {
  let waiting = 0;
  addEventListener('keydown', async event => {
    const state = stateNow();
    if (event.key.toLowerCase() === 'k' && (event.ctrlKey || event.metaKey) && state?.me) {
      event.preventDefault();
      (await withDialogs(import('./palette.js'))).openPalette();
      return;
    }
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.ctrlKey || event.metaKey || event.altKey || target.closest?.('input, textarea, select, [contenteditable], dialog')) return;
    if (!singleKeys() || !state?.me || event.defaultPrevented) return;
    if (waiting) {
      clearTimeout(waiting);
      waiting = 0;
      const screen = SCREENS.find(each => each.key === event.key);
      if (screen && isFor(screen, state)) {
        event.preventDefault();
        go(screen.paths[0].replace(':handle', () => encodeURIComponent(state.profile?.handle ?? '')));
      }
      return;
    }
    if (event.key === 'g') { waiting = setTimeout(() => { waiting = 0; }, WAIT_MS); return; }
    if (event.key === '?') { event.preventDefault(); help(); return; }
    const key = bound.get(event.key);
    if (!key) return;
    event.preventDefault(); // else a field that it opens would get it, too
    key.act(event);
  });
}

const help = async () => (await withDialogs(import('./help.js'))).help();

/** Return what each key does here. @returns {[string, string][]} key and words */
export const keysHere = () => [...bound].map(([key, {words}]) => [key, words]);
